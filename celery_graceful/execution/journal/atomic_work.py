"""Items' work and their checkpoint are committed together, batch by batch.

The row of a run in the task's own database is always ahead of the store: it says where the run
continues, and whether it is done.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from celery_graceful._celery.task.delivery import ExecutionLeft
from celery_graceful.atomic import Atomic, Busy, Claim, Database, Mark, Row, Work
from celery_graceful.errors import CursorError, NoRunError, StoreUnavailable
from celery_graceful.execution.execution import Execution
from celery_graceful.execution.journal import cursor_part
from celery_graceful.execution.journal.store_outage import STORE_RETRY
from celery_graceful.execution.loop import Interrupted
from celery_graceful.execution.stopping.conditions import StopConditions
from celery_graceful.model.run.cursor import Checkpoint, decode, encode
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.model.run.record import Record
from celery_graceful.runs.ticket import Ticket

logger = logging.getLogger("celery_graceful.runs")

#: Seconds between two attempts to claim a row that another transaction holds.
BUSY_RETRY = 0.05


class RunRow:
    """The row of one execution's run.

    Args:
        execution: the execution, where the store has it begin.
        stops: what may end the wait for the row.
        batch_time: what a batch may take, in seconds, if that is known.
    """

    def __init__(
        self,
        execution: Execution,
        ticket: Ticket,
        stops: StopConditions,
        batch_time: Callable[[], float | None],
    ) -> None:
        self._ticket = ticket
        self._stops = stops
        self.batch_time = batch_time
        record, runtime = ticket.record, ticket.runtime
        self._claim = Claim(
            runtime.namespace,
            ticket.run.task,
            ticket.run.id,
            record.fence,
            _started(record),
            os.urandom(16).hex(),
            # A run without a finished item begins anew, with ``on_start``.
            record.checkpoint if execution.steps else None,
            execution.steps,
            runtime.settings.run_retention,
            record.after,
        )

    def claimed(self, work: Work) -> Row:
        """Wait for the row: whoever holds it may be stalled, but will not be for ever."""
        is_told, patient_until = False, time.monotonic() + self._ticket.runtime.settings.lease_ttl
        while True:
            pause = BUSY_RETRY
            try:
                row = work.claim(self._claim, self._ticket.stands)
                if row is None:
                    raise Interrupted(StopReason.LEASE_LOST)
                return row
            except Busy as exc:
                why = f"another transaction holds its row in graceful_checkpoints: {exc}"
            except StoreUnavailable as exc:
                if time.monotonic() > patient_until:
                    raise ExecutionLeft(str(exc), self._ticket.fence) from exc
                why, pause = f"the store does not answer: {exc}", STORE_RETRY
            if not is_told:
                is_told = True
                logger.warning("%s waits before its first item: %s", self._ticket.run, why)
            self._stops.check(time.monotonic())
            time.sleep(pause)

    def refused(self) -> None:
        """A commit was refused: the row is another execution's."""
        self._ticket.refused = (
            "another execution has claimed it, so its transaction was rolled back"
        )

    def forget(self, database: Database) -> None:
        """The run has ended: remove the row."""
        try:
            database.forget(self._claim)
        except Exception as exc:
            logger.warning(
                "%s has ended, but its row stays in graceful_checkpoints; it does no harm: %r",
                self._ticket.run,
                exc,
            )

    def is_stopping(self) -> bool:
        """Whether the worker stops, so that nothing should stay uncommitted."""
        return self._stops.flag.raised


def _started(record: Record) -> str:
    """Distinguishes runs of one id, and a run from itself before an operator has rewound it.

    In at most 32 characters.
    """
    return f"{record.started_at!r}/{record.after:x}" if record.after else repr(record.started_at)


class AtomicWork:
    """Commits an execution's batches.

    Args:
        atomic: the task's option.
        row: the run's row in the task's database; an eager task or a direct call has none.
    """

    looks_at_each_stretch = True

    def __init__(self, execution: Execution, atomic: Atomic, row: RunRow | None) -> None:
        self._execution = execution
        self._atomic = atomic
        self._row = row
        self._work: Work | None = None
        self._every = atomic.interval()
        self.is_timed = bool(self._every.seconds)
        self.began = False
        self.commit_due = math.inf
        self._is_prepared = self._has_moved = False
        self._keep(encode(execution.checkpoint))

    def _keep(self, text: str) -> None:
        """What was committed last, for the way back."""
        self._kept_text, self._kept_steps = text, self._execution.steps

    @property
    def kept(self) -> Checkpoint:
        return decode(self._kept_text)

    @property
    def transaction(self) -> Work:
        if self._work is None:
            name = self._execution.task.name
            raise NoRunError(f"{name}.transaction exists only once the run has begun")
        return self._work

    def enter(self) -> None:
        execution = self._execution
        if self._work is None:
            name = execution.task.name
            self._work = self._atomic.database.open(name, carried=self._row is not None)
        row = None if self._row is None else self._row.claimed(self._work)
        self.began = True
        if row is None:
            execution.resumed = execution.steps > 0  # an eager retry, which may begin elsewhere
            self._keep(encode(execution.checkpoint))
        else:
            execution.resumed, execution.saved = row.checkpoint is not None, row.result
            if row.checkpoint is not None:
                checkpoint = decode(row.checkpoint)
                execution.begin_at(checkpoint)
                self._keep(encode(checkpoint))

    def prepare(self) -> None:
        # As late as can be: what is not an item's work, such as a signal's receiver, may use the
        # same connection, and must not be rolled back with a batch that never comes to its end.
        if self._is_prepared:
            return
        self.transaction.begin()
        self._is_prepared = True
        # What is not committed at the kill is done again.
        most = None if self._row is None else self._row.batch_time()
        limits = [each for each in (self._every.seconds or None, most) if each is not None]
        self.commit_due = time.monotonic() + min(limits) if limits else math.inf

    # -- between two items ------------------------------------------------------------------

    @property
    def _pending(self) -> int:
        """Items since the last commit."""
        return self._execution.steps - self._kept_steps

    def look(self) -> None:
        if self._pending and not self._has_moved:
            self._checked_text()  # what would repeat items is an error after the first
            self._has_moved = True
        if self._batch_is_full() and not self.save():
            raise Interrupted(StopReason.LEASE_LOST)
        if self._every.items:
            # Cut short and not made anew: a fuse that has blown meanwhile has to stay so.
            del self._execution.fuse[self._every.items - self._pending :]
        self.prepare()

    def _batch_is_full(self) -> bool:
        pending = self._pending
        if self._every.items and pending >= self._every.items:
            return True
        if not pending:
            return False
        is_stopping = self._row is not None and self._row.is_stopping()
        return is_stopping or time.monotonic() >= self.commit_due

    # -- commits ----------------------------------------------------------------------------

    def save(self) -> bool:
        return self._commit(self._checked_text(), None)

    def save_result(self, result: Callable[[], Any]) -> bool:
        if self._execution.saved is not None:
            return True
        return self._commit(self._checked_text(), result())

    def _checked_text(self) -> str:
        execution = self._execution
        text = encode(execution.checkpoint)
        if self._pending > 0 and cursor_part(text) == cursor_part(self._kept_text):
            raise CursorError(
                f"{execution.task.name} is atomic, and its cursor {execution.cursor!r:.200} has not"
                " moved with the items done: they would be done again after an interruption. Each "
                "item needs a cursor of its own; make a page the item where only pages have one."
            )
        return text

    def _commit(self, text: str, result: str | None) -> bool:
        row = self._row
        mark = None if row is None else Mark(text, self._execution.steps, result)
        if not self.transaction.commit(mark):
            if row is not None:
                row.refused()
            return False
        self._end_batch()
        self._keep(text)
        self.transaction.committed()  # when all is noted: it may raise
        return True

    def _end_batch(self) -> None:
        self._is_prepared, self.commit_due = False, math.inf

    def item_scope(self) -> AbstractContextManager[Any]:
        return self.transaction.item()

    def stands(self) -> bool:
        return self.transaction.stands()

    def explained(self, exc: Exception) -> Exception | None:
        return None if self._work is None else self._work.explained(exc)

    # -- the ways back ----------------------------------------------------------------------

    def undo(self) -> bool:
        self._close_source()
        if self._work is not None:
            self._work.rollback()
        self._end_batch()
        self._execution.begin_at(self.kept)
        return True

    def _close_source(self) -> None:
        # It may stand still within savepoints of its own, which end before the transaction does.
        close = getattr(self._execution.source, "close", None)
        if not callable(close):
            return
        try:
            close()
        except Exception as exc:
            name = self._execution.task.name
            logger.warning("%s: its enumerator could not be closed: %r", name, exc)

    def forget(self) -> None:
        if self._row is not None:
            self._row.forget(self._atomic.database)

    def close(self) -> None:
        if self._work is not None:
            self._work.close()

"""Executions that commit their items' work and their checkpoint together, batch by batch."""

from __future__ import annotations

import logging
import math
import os
import time
from contextlib import AbstractContextManager
from typing import Any

from celery_graceful._celery.task.delivery import ExecutionLeft
from celery_graceful.atomic import Atomic, Busy, Claim, Mark, Row, Work
from celery_graceful.errors import CursorError, NoRunError, StoreUnavailable
from celery_graceful.execution import results
from celery_graceful.execution.execution import Execution, Interrupted
from celery_graceful.execution.journal.store_journal import STORE_RETRY, cursor_part
from celery_graceful.execution.owned import OwnedExecution
from celery_graceful.model.run.cursor import Checkpoint, decode, encode
from celery_graceful.model.run.reasons import StopReason

logger = logging.getLogger("celery_graceful.runs")


class AtomicExecution(Execution):
    """An execution without a store that commits every batch."""

    work: Work | None = None

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        atomic = self.task.atomic
        assert atomic is not None
        self.atomic: Atomic = atomic
        self.every = atomic.interval()
        #: Items since the last commit.
        self.pending = 0
        self.commit_due = math.inf
        self._has_moved = False

    def begin_at(self, checkpoint: Checkpoint) -> None:
        super().begin_at(checkpoint)
        #: What was committed last, for the way back.
        self.kept, self.kept_steps = encode(checkpoint), checkpoint.steps

    @property
    def transaction(self) -> Work:
        if self.work is None:
            raise NoRunError(f"{self.task.name}.transaction exists only once the run has begun")
        return self.work

    def enter(self) -> None:
        self._open_work(carried=False)
        self.resumed = self.steps > 0  # an eager retry
        self._begin_batch()
        super().enter()

    def _open_work(self, *, carried: bool) -> Work:
        if self.work is None:
            self.work = self.atomic.database.open(self.task.name, carried=carried)
        return self.work

    def _begin_batch(self) -> None:
        self.pending = 0
        self.transaction.begin()
        if self.every.seconds:
            self.commit_due = time.monotonic() + self.every.seconds

    # -- between two items ------------------------------------------------------------------

    @property
    def sees_each_item(self) -> bool:
        return super().sees_each_item or bool(self.every.seconds)  # no ticker looks at the time

    def look(self, cursor: Any, done: int) -> None:
        self.pending += done
        super().look(cursor, done)
        if self.pending and not self._has_moved:
            self._checked_text()  # what would repeat items is told after the first
            self._has_moved = True
        if self._batch_is_full():
            self._commit_or_leave()
        if self.every.items:
            # Cut short and not made anew: a fuse that has blown meanwhile has to stay so.
            del self.fuse[self.every.items - self.pending :]

    def passed(self, cursor: Any, done: int) -> None:
        self.look(cursor, done)

    def _batch_is_full(self) -> bool:
        full = bool(self.every.items) and self.pending >= self.every.items
        return full or (self.pending > 0 and time.monotonic() >= self.commit_due)

    def _commit_or_leave(self) -> None:
        if not self.save_work():
            raise Interrupted(StopReason.LEASE_LOST)

    # -- commits ----------------------------------------------------------------------------

    def save_work(self) -> bool:
        text = self._checked_text()
        if not self._commit(text, None):
            return False
        self._begin_batch()
        return True

    @property
    def to_retry(self) -> Checkpoint:
        return decode(self.kept)

    def steps_kept(self, steps: int) -> int:
        return decode(self.kept).steps

    def work_stands(self) -> bool:
        return self.transaction.stands()

    def item_scope(self) -> AbstractContextManager[Any]:
        return self.transaction.item()

    def save_result(self, result: Any) -> bool:
        if self.saved is not None:
            return True
        return self._commit(self._checked_text(), result)

    def _checked_text(self) -> str:
        text = encode(self.checkpoint)
        if self.steps > self.kept_steps and cursor_part(text) == cursor_part(self.kept):
            raise CursorError(
                f"{self.task.name} is atomic, and its cursor {self.cursor!r:.200} has not moved "
                "with the items done: they would be done again after an interruption. Each item "
                "needs a cursor of its own; make a page the item where only pages have one."
            )
        return text

    def _commit(self, text: str, result: Any) -> bool:
        if not self.transaction.commit(self._mark(text, result)):
            return False
        self.kept, self.kept_steps = text, self.steps
        return True

    def _mark(self, text: str, result: Any) -> Mark | None:
        return None

    # -- the ways back ----------------------------------------------------------------------

    def undo(self) -> None:
        if self.work is not None:
            self.work.rollback()
        self.begin_at(decode(self.kept))
        self.pending = 0

    def go_back(self) -> None:
        self.undo()

    def close(self) -> None:
        super().close()
        if self.work is not None:
            self.work.close()


class AtomicOwnedExecution(AtomicExecution, OwnedExecution):
    """An atomic execution whose run is kept in the store, and in a row of the task's own database.

    The row is always ahead of the store: it says where the run goes on, and whether it is done.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.began = False
        run, record, runtime = self.ticket.run, self.ticket.record, self.ticket.runtime
        self._claim = Claim(
            runtime.namespace,
            run.task,
            run.id,
            record.fence,
            repr(record.started_at),
            os.urandom(16).hex(),
            # A run without a finished item begins anew, with ``on_start``.
            record.checkpoint if self.steps else None,
            self.steps,
            runtime.settings.run_retention,
            record.after,
        )

    # -- the begin --------------------------------------------------------------------------

    def enter(self) -> None:
        work = self._open_work(carried=True)
        row = self._claimed(work)
        self.began = True
        self.resumed = row.checkpoint is not None
        if row.checkpoint is not None:
            self.begin_at(decode(row.checkpoint))
            self.began_at = (self.steps, self.cursor)
        self.saved = row.result
        self._begin_batch()
        OwnedExecution.enter(self)

    def _claimed(self, work: Work) -> Row:
        """Wait for the row: whoever holds it may be stalled, but will not be for ever."""
        told, patient_until = "", time.monotonic() + self.ticket.runtime.settings.lease_ttl
        while True:
            pause = 0.05
            try:
                row = work.claim(self._claim, self.ticket.stands)
                if row is None:
                    raise Interrupted(StopReason.LEASE_LOST)
                return row
            except Busy as exc:
                why = f"another transaction holds its row in graceful_checkpoints: {exc}"
            except StoreUnavailable as exc:
                if time.monotonic() > patient_until:
                    self.left = True
                    raise ExecutionLeft(str(exc), self.ticket.fence) from exc
                why, pause = f"the store does not answer: {exc}", STORE_RETRY
            if not told:
                told = why
                logger.warning("%s waits before its first item: %s", self.ticket.run, why)
            reason = self.stop_reason(time.monotonic())
            if reason is not None:
                raise Interrupted(reason)
            time.sleep(pause)

    def _begin_batch(self) -> None:
        super()._begin_batch()
        most = self.pacing.batch_time
        if most is not None:  # what is not committed at the kill is done again
            soon = time.monotonic() + most
            self.commit_due = soon if not self.every.seconds else min(self.commit_due, soon)

    # -- between two items ------------------------------------------------------------------

    def passed(self, cursor: Any, done: int) -> None:
        self.look(cursor, done)

    def _batch_is_full(self) -> bool:
        return super()._batch_is_full() or (self.pending > 0 and self.flag.raised)

    def tick(self, now: float) -> None:
        if now >= self.commit_due:
            self.fuse.clear()
        super().tick(now)

    def flush(self, now: float, *, needed: bool = False) -> None:
        """The store never knows of what is not committed."""
        self._commit_or_leave()
        super().flush(now, needed=needed)

    def _commit(self, text: str, result: Any) -> bool:
        if super()._commit(text, result):
            return True
        self.ticket.refused = "another execution has claimed it, so its transaction was rolled back"
        return False

    def save_result(self, result: Any) -> bool:
        return super().save_result(results.kept(self.task, self.request, result))

    def _mark(self, text: str, result: Any) -> Mark:
        return Mark(text, self.steps, result)

    # -- the end ----------------------------------------------------------------------------

    def forget(self) -> None:
        try:
            self.atomic.database.forget(self._claim)
        except Exception as exc:
            logger.warning(
                "%s has ended, but its row stays in graceful_checkpoints; it does no harm: %r",
                self.ticket.run,
                exc,
            )

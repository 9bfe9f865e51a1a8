"""Items' work and their checkpoint are committed together, batch by batch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from celery_graceful.atomic import Atomic, Mark, Work
from celery_graceful.errors import CursorError, NoRunError
from celery_graceful.execution.execution import Execution
from celery_graceful.execution.journal import cursor_part
from celery_graceful.execution.journal.run_row import RunRow
from celery_graceful.execution.loop import Interrupted
from celery_graceful.model.run.cursor import Checkpoint, decode, encode
from celery_graceful.model.run.reasons import StopReason


class AtomicWork:
    """Commits an execution's batches.

    Args:
        execution: the execution.
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
        self._has_moved = False
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
        self._begin_batch()

    def _begin_batch(self) -> None:
        self.transaction.begin()
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
        if not self._commit(self._checked_text(), None):
            return False
        self._begin_batch()
        return True

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
        self._keep(text)
        return True

    def item_scope(self) -> AbstractContextManager[Any]:
        return self.transaction.item()

    def stands(self) -> bool:
        return self.transaction.stands()

    # -- the ways back ----------------------------------------------------------------------

    def undo(self) -> bool:
        if self._work is not None:
            self._work.rollback()
        self._execution.begin_at(self.kept)
        return True

    def forget(self) -> None:
        if self._row is not None:
            self._row.forget(self._atomic.database)

    def close(self) -> None:
        if self._work is not None:
            self._work.close()

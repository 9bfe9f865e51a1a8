"""Executions that keep nothing: eager runs, direct calls, workers without the plugin."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from celery_graceful.errors import NoRunError
from celery_graceful.execution.loop import CHUNK
from celery_graceful.model.run.cursor import Checkpoint, encode

if TYPE_CHECKING:
    from celery_graceful.atomic import Work
    from celery_graceful.execution.execution import Execution


class NullJournal:
    """Saves nothing, and raises what saving would raise: in tests instead of in production.

    Args:
        execution: the execution that it belongs to.
    """

    #: After 1, 3, 7 … items, since eager runs and tests are to report what production would.
    growth = 2
    looks_at_each_stretch = True

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._is_checked = False

    def look(self, done: int) -> None:
        execution = self._execution
        execution.check_committed(drivers=done < CHUNK)
        if done and not self._is_checked:
            encode(execution.checkpoint)
            self._is_checked = done >= CHUNK
        if execution.task.track_in_doubt or execution.work.is_timed:
            execution.fuse[:] = [0]

    def begins(self, cursor: Any) -> None:
        self._execution.doubt.begins(cursor)  # for an eager retry

    def last_saved(self) -> Checkpoint | None:
        return None

    def begin_quarantine(self) -> None:
        pass

    def quarantine(self, ordinal: int, entry: str) -> None:
        pass  # it is logged

    def quarantined(self, cursor: Any, exc: Exception) -> None:
        pass


class PlainWork:
    """Items that commit their work by themselves: there is nothing to do for it."""

    looks_at_each_stretch = is_timed = False
    began = True
    commit_due = math.inf
    kept: Checkpoint | None = None

    def __init__(self, task_name: str) -> None:
        self._task_name = task_name

    @property
    def transaction(self) -> Work:
        raise NoRunError(
            f"{self._task_name}.transaction exists only in an atomic run; give the task the option "
            "atomic = Atomic.sqlalchemy(Session), or Atomic.django()"
        )

    def enter(self) -> None:
        pass

    def prepare(self) -> None:
        pass

    def look(self) -> None:
        pass

    def save(self) -> bool:
        return True

    def save_result(self, result: Callable[[], Any]) -> bool:
        return True

    def item_scope(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def stands(self) -> bool:
        return True

    def explained(self, exc: Exception) -> Exception | None:
        return None

    def undo(self) -> bool:
        return False

    def forget(self) -> None:
        pass

    def close(self) -> None:
        pass

"""One execution of a run, from its checkpoint to its end or the next stop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NoReturn

from celery_graceful.errors import NoRunError, TransactionError
from celery_graceful.execution.current import current_execution
from celery_graceful.execution.journal.child_tasks import Children
from celery_graceful.execution.loop import CHUNK, Fuse, Stand
from celery_graceful.execution.quarantine import Doubt, Quarantine, allowance
from celery_graceful.execution.uncommitted import OpenWork
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.pace import Pace
from celery_graceful.text.counting import counted

if TYPE_CHECKING:
    from celery_graceful.atomic import Work
    from celery_graceful.execution.run_task import RunTask

logger = logging.getLogger("celery_graceful.runs")


class Interrupted(BaseException):
    """Leaves the loop; never seen by users, nor by their ``except Exception``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Exact within an item, in the thread that runs the task; elsewhere as of the loop's last look.
    """

    #: Items done since the run began, over all executions.
    current: int
    #: What ``count()`` said at the start, or ``None``.
    total: int | None
    #: Everything up to and including this is done; ``None`` before the first item.
    cursor: Any
    #: How often the run was taken up again.
    resumptions: int
    #: When the run began (UTC).
    started_at: datetime
    #: With ``track_in_doubt``: the cursor of the one item that an earlier execution may have run
    #: already, until it has run here; else ``None``.
    in_doubt: Any = None
    #: With ``max_failed_items``: the quarantined items since the run began.
    errors: int = 0

    @property
    def percent(self) -> float | None:
        """``current`` in percent of ``total``, at most 100; ``None`` without a total."""
        if not self.total:
            return None
        return min(100.0, 100.0 * self.current / self.total)


class Execution:
    """An execution that runs to its end: eager mode, direct calls, workers without the plugin."""

    reason: str = ""
    #: After 1, 3, 7 … items, since eager runs and tests are to report what production would.
    growth = 2
    #: The encoded result of a run that an earlier execution has brought to its end.
    saved: str | None = None
    #: The tasks that the run has started, where these have to be kept.
    children: Children | None = None

    def __init__(
        self,
        task: RunTask,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        checkpoint: Checkpoint,
    ) -> None:
        self.task = task
        self.args = args
        self.kwargs = kwargs
        self.begin_at(checkpoint)
        self.resumed = False
        self.resumptions = 0
        self.started_at = time.time()
        self.fuse: Fuse = []
        self.stand: Stand | None = None
        self._checked = False
        #: What the task has opened and not committed.
        self.open_work = OpenWork(task)
        #: The generator or enumerator that the loop is at.
        self.source: Any = None

    def begin_at(self, checkpoint: Checkpoint) -> None:
        """Go on after ``checkpoint``."""
        self.cursor = checkpoint.cursor
        self.carry = _copied(checkpoint.carry)
        self.steps = checkpoint.steps
        self.total = checkpoint.total
        self.began_at = (checkpoint.steps, checkpoint.cursor)
        self.doubt = Doubt(checkpoint.in_doubt)
        self.errors = checkpoint.errors
        self.pace = Pace(checkpoint.pace)
        self.batch = checkpoint.batch
        self._begun = checkpoint
        if self.children is not None:
            self.children.restore(checkpoint.children)

    @property
    def id(self) -> str:
        """The task id, for logs."""
        return str(self.task.request.id)

    @property
    def checkpoint(self) -> Checkpoint:
        """What would be saved now."""
        return Checkpoint(
            self.cursor,
            self.carry,
            self.steps,
            self.total,
            self.doubt.to_save,
            self.errors,
            self.pace.saved(),
            self.batch,
            () if self.children is None else self.children.to_save(),
        )

    @property
    def to_retry(self) -> Checkpoint:
        """Where a retry would go on; asked within the item that asks for one."""
        return self._within()

    def _within(self) -> Checkpoint:
        """The checkpoint, also between two looks."""
        done = None if self.stand is None else self.stand.within()
        if done is None:
            return self.checkpoint
        return replace(self.checkpoint, steps=self.steps + done[0], cursor=done[1])

    @property
    def progress(self) -> Progress:
        """How far the run has come."""
        started = datetime.fromtimestamp(self.started_at, timezone.utc)
        now = self._within()
        return Progress(
            now.steps,
            self.total,
            now.cursor,
            self.resumptions,
            started,
            self.doubt.item,
            self.errors,
        )

    @property
    def transaction(self) -> Work:
        """The transaction of an atomic run; raises :exc:`~celery_graceful.errors.NoRunError`."""
        raise NoRunError(
            f"{self.task.name}.transaction exists only in an atomic run; give the task the option "
            "atomic = Atomic.sqlalchemy(Session)"
        )

    # -- what an atomic execution does besides ----------------------------------------------------

    def enter(self) -> None:
        """Begin."""

    def save_work(self) -> bool:
        """Commit what was done; false if another execution has the run."""
        return True

    def steps_kept(self, steps: int) -> int:
        """How many items would count as done if the next one failed after ``steps``."""
        return steps

    def work_stands(self) -> bool:
        """Whether what was done since the last checkpoint can still be saved."""
        return True

    def item_scope(self) -> AbstractContextManager[Any]:
        """Around one item whose failure does not end the run: what it did is undone."""
        return nullcontext()

    def save_result(self, result: Any) -> bool:
        """Commit that all is done; false if another execution has the run."""
        return True

    def undo(self) -> None:
        """Go back to the last commit."""

    def forget(self) -> None:
        """The run has ended: remove what was kept of it beside the store."""

    def close(self) -> None:
        """No more items are processed here."""

    # -- between two items ------------------------------------------------------------------

    def look(self, cursor: Any, done: int) -> None:
        """Note how far it has come, and what would be an error in a worker."""
        self.settle(cursor, done)
        self.check_committed(drivers=done < CHUNK)
        if done and not self._checked:
            self.check_saveable()
            self._checked = done >= CHUNK
        if self.sees_each_item:
            self.fuse[:] = [0]

    def passed(self, cursor: Any, done: int) -> None:
        """Look all the same: no ticker blows the fuse here."""
        self.look(cursor, done)

    @property
    def sees_each_item(self) -> bool:
        """Whether the loop has to look after every item."""
        return bool(self.task.track_in_doubt)

    def check_saveable(self) -> None:
        """Raise what saving would raise: without a store, in tests instead of in production."""
        encode(self.checkpoint)

    def check_committed(self, *, drivers: bool = True) -> None:
        """Go back and raise if work of the task's own is in a transaction that is still open.

        Args:
            drivers: see :meth:`OpenWork.found`.

        Raises:
            TransactionError: it is; nothing of what was done since is saved.
        """
        found = self.open_work.found(self.source, drivers=drivers)
        if found is None:
            return
        cursor = self.cursor
        self.go_back()
        raise TransactionError(
            f"{self.task.name}: its checkpoint at cursor {cursor!r:.200} would be saved while "
            f"{found} is open that was begun within the run. A stop or a crash would undo that "
            "work, and the run would continue after it. Commit before the item ends (in a "
            "generator: before the yield), for example by making a page the item; or give the "
            "task the option atomic = Atomic.sqlalchemy(Session), which commits work and "
            "checkpoint together."
        )

    def distrust_open_work(self, number: int) -> None:
        """Item ``number`` of the loop raised: what it has undone of earlier ones is not done."""
        found = self.open_work.lost(number)
        if found is None:
            return
        logger.error(
            "%s[%s]: the item after cursor %.200r raised while %s was open, so work of earlier "
            "items is undone; a retry begins at the last saved checkpoint. Commit before an item "
            "ends",
            self.task.name,
            self.id,
            self.cursor,
            found,
        )
        self.go_back()

    def go_back(self) -> None:
        """Forget what was done since the last saved checkpoint; without a store, everything."""
        total = self.total
        self.begin_at(self._last_saved())
        self.total = total

    def _last_saved(self) -> Checkpoint:
        return self._begun

    def settle(self, cursor: Any, done: int) -> None:
        """Note how far the loop has come."""
        self.cursor = cursor
        self.steps += done
        if done:
            self.doubt.done()

    def quarantine(self) -> Quarantine | None:
        """What deals with items that fail, if the task allows for any."""
        allowed = allowance(self.task.max_failed_items)
        return None if allowed is None else Quarantine(self, allowed, self.quarantine_item)

    def quarantine_item(self, ordinal: int, entry: str) -> None:
        """Keep an item that failed; without a store it is only told."""

    def tell_quarantined(self, cursor: Any, exc: Exception) -> None:
        """Say that the item of ``cursor`` was quarantined."""
        logger.warning(
            "%s[%s]: the item of cursor %.200r has failed and is quarantined (%s in this run): %r",
            self.task.name,
            self.id,
            cursor,
            counted(self.errors, "failed item"),
            exc,
            exc_info=exc,
        )

    def about_to_run(self, cursor: Any) -> None:
        """The item of ``cursor`` begins; without a store only an eager retry is told."""
        self.doubt.begins(cursor)

    def leave(self, reason: str) -> NoReturn:
        """The loop was left for ``reason``; nothing asks this kind of execution to leave."""
        raise Interrupted(reason)


def _copied(carry: dict[str, Any]) -> dict[str, Any]:
    return deepcopy(carry) if carry else {}


ExecutionMaker = Callable[
    ["RunTask", tuple[Any, ...], dict[str, Any], Checkpoint], "Execution | None"
]

#: Makes the execution of a direct call or an eager run, or leaves it to us; used by the test kit.
execution_maker: ContextVar[ExecutionMaker | None] = ContextVar(
    "celery_graceful_execution_maker", default=None
)


def execution_of(task: RunTask, asked_for: str) -> Execution:
    """The execution that runs ``task`` here; raises :exc:`~celery_graceful.errors.NoRunError`."""
    execution = current_execution.get()
    if not isinstance(execution, Execution) or execution.task is not task:
        raise NoRunError(
            f"{task.name}.{asked_for} exists only while a run is under way: use it in "
            "each_iteration, in the generator or in a hook, in the thread that runs the task"
        )
    return execution

"""One execution of a run, from its checkpoint to its end or the next stop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from celery_graceful.errors import NoRunError, TransactionError
from celery_graceful.execution.journal import Doubt, ItemWork, Journal
from celery_graceful.execution.journal.child_tasks import Children
from celery_graceful.execution.journal.code_changes import NotMigrated, code_of, migrated
from celery_graceful.execution.journal.uncommitted import OpenWork
from celery_graceful.execution.loop import Fuse, Stand
from celery_graceful.execution.loop.current import current_execution
from celery_graceful.execution.stopping.bounds import Bounds
from celery_graceful.model.pace import Pace
from celery_graceful.model.run.cursor import Checkpoint
from celery_graceful.model.run_options import NO_OPTIONS, RunOptions
from celery_graceful.model.run_progress import Progress
from celery_graceful.runs.oneoff.dry_runs import NAME, takes_dry_run

if TYPE_CHECKING:
    from celery_graceful.execution.run_task import RunTask

logger = logging.getLogger("celery_graceful.runs")


class Execution:
    """Where a run stands in this process; the loop's watcher.

    Args:
        kwargs: its keyword arguments, without the cursor.
        children: the tasks that the run has started, where these have to be kept.
    """

    #: Where its checkpoints go.
    journal: Journal
    #: What its items have done and not committed.
    work: ItemWork
    #: Called when a stop has ended the loop: raises, or returns when items continue here.
    leave: Callable[[str], object]
    #: For the loop: see :class:`~celery_graceful.execution.loop.Watcher`.
    growth: int
    #: Why it cannot begin with the task's code, so that its run pauses; empty: it can.
    not_migrated: str
    #: Whether it began at a checkpoint that had another version of the cursor.
    is_migrated: bool
    #: What names the code that saved the checkpoint it began at.
    code_then: str

    def __init__(
        self,
        task: RunTask,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        checkpoint: Checkpoint,
        children: Children | None = None,
    ) -> None:
        self.task = task
        self.args = args
        self.kwargs = kwargs
        self.id = str(task.request.id)
        self.children = children
        self.begin_at(checkpoint)
        self.resumed = False
        self.resumptions = 0
        self.started_at = time.time()
        self.fuse: Fuse = []
        self.stand: Stand | None = None
        #: Whether items went by since the last look.
        self.passed_some = False
        #: The encoded result of a run that an earlier execution has brought to its end.
        self.saved: str | None = None
        #: What the task has opened and not committed.
        self.open_work = OpenWork(task)
        #: The generator or enumerator that the loop is at.
        self.source: Any = None
        #: What the run was asked at its start, and where it has to pause or end.
        self.options = NO_OPTIONS
        self.bounds: Bounds | None = None
        #: Whether it ended at its limit: there may be more items.
        self.is_limited = False

    def attach(self, journal: Journal, work: ItemWork, leave: Callable[[str], object]) -> None:
        """Say where checkpoints go, and how the execution is left."""
        self.journal, self.work, self.leave = journal, work, leave
        self.growth = journal.growth
        self._looks_at_each_stretch = journal.looks_at_each_stretch or work.looks_at_each_stretch

    def ask(self, options: RunOptions, paused_at: Callable[[], int] = lambda: 0) -> None:
        """Say what its run was asked at its start; after :meth:`attach`."""
        self.options = options
        if options.pause_after or options.limit:
            self.bounds = Bounds(self, options, paused_at)
            self._looks_at_each_stretch = True

    def informed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of the task, which in a dry run gets ``dry_run=True`` if it knows that."""
        if not self.options.dry_run or NAME in self.kwargs or not takes_dry_run(function):
            return function
        return partial(function, **{NAME: True})

    def begin_at(self, checkpoint: Checkpoint) -> None:
        """Continue after ``checkpoint``, which other code may have saved."""
        version, self.not_migrated = checkpoint.version, ""
        try:
            checkpoint = migrated(self.task, checkpoint)
        except NotMigrated as exc:
            self.not_migrated = str(exc)
        self.is_migrated, self.code_then = checkpoint.version != version, checkpoint.code
        self.cursor = checkpoint.cursor
        self.carry: dict[str, Any] = deepcopy(checkpoint.carry) if checkpoint.carry else {}
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

    # -- how far it is ----------------------------------------------------------------------

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
            self._begun.version,
            (self.is_at_start and self._begun.code) or code_of(self.task),
        )

    @property
    def is_at_start(self) -> bool:
        """Whether no item was done since it began."""
        return self.steps == self.began_at[0]

    @property
    def checkpoint_within(self) -> Checkpoint:
        """The same, asked for within an item."""
        done = None if self.stand is None else self.stand.within()
        if done is None:
            return self.checkpoint
        return replace(self.checkpoint, steps=self.steps + done[0], cursor=done[1])

    @property
    def details(self) -> dict[str, Any]:
        """What signals carry about an execution."""
        return {"task_id": self.id, "cursor": self.cursor, "steps": self.steps}

    @property
    def progress(self) -> Progress:
        """How far the run has come."""
        started = datetime.fromtimestamp(self.started_at, timezone.utc)
        now = self.checkpoint_within
        return Progress(
            now.steps,
            self.total,
            now.cursor,
            self.resumptions,
            started,
            self.doubt.item,
            self.errors,
        )

    # -- between two items ------------------------------------------------------------------

    def look(self, cursor: Any, done: int) -> None:
        """Note how far it has come, and do what is due; raises to end the loop."""
        self.settle(cursor, done)
        self.journal.look(done)
        self.work.look()
        if self.bounds is not None:
            self.bounds.look()

    def passed(self, cursor: Any, done: int) -> None:
        """A whole stretch of items went by, and the fuse has not blown."""
        if self._looks_at_each_stretch:
            self.look(cursor, done)
        else:
            self.passed_some = True
            self.settle(cursor, done)

    def settle(self, cursor: Any, done: int) -> None:
        """Note how far the loop has come."""
        self.cursor = cursor
        self.steps += done
        if done:
            self.doubt.done()

    # -- work of the task's own that is not committed ---------------------------------------

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
        self.revert()
        raise TransactionError(
            f"{self.task.name}: its checkpoint at cursor {cursor!r:.200} would be saved while "
            f"{found} is open that was begun within the run. A stop or a crash would undo that "
            "work, and the run would continue after it. Commit before the item ends (in a "
            "generator: before the yield), for example by making a page the item"
            + self._or_atomic(found)
        )

    def _or_atomic(self, found: str) -> str:
        if self.task.atomic is not None:
            return "."
        option = "django()" if "Django database" in found else "sqlalchemy(Session)"
        return (
            f"; or give the task the option atomic = Atomic.{option}, which commits work and "
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
        self.revert()

    def revert(self) -> None:
        """Forget what was done since the last saved checkpoint; without a store, everything."""
        if self.work.undo():
            return
        total = self.total
        self.begin_at(self.journal.last_saved() or self._begun)
        self.total = total


def execution_of(task: RunTask, asked_for: str) -> Execution:
    """The execution that runs ``task`` here; raises :exc:`~celery_graceful.errors.NoRunError`."""
    execution = current_execution.get()
    if not isinstance(execution, Execution) or execution.task is not task:
        raise NoRunError(
            f"{task.name}.{asked_for} exists only while a run is under way: use it in "
            "each_iteration, in the generator or in a hook, in the thread that runs the task"
        )
    return execution

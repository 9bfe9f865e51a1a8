"""One execution of a run, by the engine itself in this process, ended where a test wants it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any, NamedTuple, NoReturn

from celery import states
from celery.exceptions import Ignore
from kombu import serialization

from celery_graceful.errors import CursorError
from celery_graceful.execution.execution import Execution
from celery_graceful.execution.here import work_here
from celery_graceful.execution.journal.null import NullJournal
from celery_graceful.execution.loop import Interrupted
from celery_graceful.execution.loop.current import current_execution, execution_maker
from celery_graceful.model.run.cursor import Checkpoint, decode, encode
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.tasks.iterable import IterableTask
from celery_graceful.testing.seen_items import Seen, mark


class Died(BaseException):
    """The end of a process as its task sees it: no ``except Exception`` holds it."""


class How(str, Enum):
    """How an execution ends."""

    FINISHED = "finished"
    FAILED = "failed"
    #: Asked to stop, between two items; its checkpoint is saved.
    STOPPED = "interrupted"
    #: Killed between two items; what was not saved is forgotten.
    KILLED = "crashed"
    #: Killed when the work of an item was done, before the engine noticed.
    KILLED_INSIDE = "crashed inside"
    #: SIGTERM to the pool child within an item: the checkpoint is saved, carry included.
    TERMINATED = "terminated inside"


class Ending(NamedTuple):
    """How an execution is to end. Places are numbers of items since the beginning of the run."""

    how: How
    at: int
    #: Where its last checkpoint was saved, for executions that are killed.
    saved_at: int = 0


class StagedExecution(Execution):
    """An execution that calls its stage at every item."""

    def __init__(
        self,
        task: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        checkpoint: Checkpoint,
        stage: Stage,
    ) -> None:
        super().__init__(task, args, kwargs, checkpoint)
        self.stage = stage
        self.resumed = stage.start is not None
        self.resumptions = stage.resumptions
        self.attach(StagedJournal(self), work_here(self), self._interrupted)

    def look(self, cursor: Any, done: int) -> None:
        super().look(cursor, done)
        self.stage.boundary(self, done)

    def _interrupted(self, reason: str) -> NoReturn:
        self.work.prepare()
        self.task.on_stop(reason, *self.args, **self.kwargs)
        self.work.save()
        self.stage.saved = encode(self.checkpoint)
        self.stage.how = How.STOPPED
        raise Ignore(f"interrupted: {reason}")


class StagedJournal(NullJournal):
    """The stage examines every item, and checks it itself."""

    def __init__(self, execution: StagedExecution) -> None:
        super().__init__(execution)
        self._staged = execution
        self._is_checked = True

    def look(self, done: int) -> None:
        super().look(done)
        self._staged.fuse[:] = [0]

    def begins(self, cursor: Any) -> None:
        super().begins(cursor)
        stage = self._staged.stage
        stage.saved = encode(self._staged.checkpoint)  # a store call for each item: nothing is lost
        stage.saved_at = stage.here


class Stage:
    """Runs one execution.

    Args:
        task: the task, as :func:`task_of` returns it.
        start: the encoded checkpoint it continues from; ``None``: from the beginning.
        place: how many items of the run lie before it.
        ending: how it is to end; ``None``: when all items are done.
        most: items after which it counts as endless.
        profile: returns what ``sys.setprofile`` is to call while it runs.
    """

    def __init__(
        self,
        task: IterableTask,
        start: str | None = None,
        *,
        place: int = 0,
        ending: Ending | None = None,
        resumptions: int = 0,
        most: float = float("inf"),
        profile: Callable[[Stage], Callable[[Any, str, Any], None]] | None = None,
    ) -> None:
        self.task = task
        self.start = start
        self.place = place
        self.ending = ending
        self.resumptions = resumptions
        self.most = most
        self.profile = profile
        self.how: How | None = None
        self.execution: StagedExecution | None = None
        self.seen: list[Seen] = []
        self.saved: str | None = start
        #: The place of what was saved, where the task itself decides that.
        self.saved_at: int | None = None
        self.result: Any = None
        self.error: BaseException | None = None
        #: The carry at the last boundary, as text.
        self.carry: str | None = None
        self.endless = False
        self._item: str | None = None

    @property
    def here(self) -> int:
        """How many items of the run are done."""
        return self.place + len(self.seen)

    def run(self, args: Sequence[Any], kwargs: Mapping[str, Any], task_id: str) -> None:
        """Run the execution, under the task id that all executions of its run share."""
        sent_args, sent_kwargs = as_sent(self.task, args, kwargs)
        token = execution_maker.set(self._make_execution)
        try:
            with self._watched_items(), self._profiled():
                done = self.task.apply(sent_args, sent_kwargs, task_id=task_id, throw=False)
        except Died:
            self._died()
        else:
            self._returned(done.state, done.result)
        finally:
            execution_maker.reset(token)

    # -- while it runs ----------------------------------------------------------------------

    def boundary(self, execution: Execution, done: int) -> None:
        """The execution is between two items; raises to end it."""
        if done:
            self.seen.append(Seen(mark(execution.cursor), self._item))
        try:
            text = encode(execution.checkpoint)
        except CursorError as exc:
            self.error = exc  # also when the task's own retry comes in between
            raise
        self.carry = repr(execution.carry)
        self.endless = len(self.seen) > self.most
        if self.endless:
            raise Died
        if self.ending is None:
            return
        if done and self.ending.saved_at == self.here and self.saved_at is None:
            self.saved = text
        if self.ending.at == self.here and self.ending.how is How.STOPPED:
            raise Interrupted(StopReason.SHUTDOWN)
        if self.ending.at == self.here and self.ending.how is How.KILLED:
            raise Died

    @property
    def carry_changed(self) -> bool:
        """Whether the present item has changed the carry."""
        return self.execution is not None and self.carry not in (None, repr(self.execution.carry))

    def _make_execution(
        self, task: Any, args: tuple[Any, ...], kwargs: dict[str, Any], seeded: Checkpoint
    ) -> Execution | None:
        if task is not self.task or current_execution.get() is not None:
            return None  # started by the task under test
        checkpoint = seeded if self.start is None else decode(self.start)
        self.execution = StagedExecution(task, args, kwargs, checkpoint, self)
        return self.execution

    @contextmanager
    def _watched_items(self) -> Iterator[None]:
        if self.task.body is not None:
            yield
            return
        each = self.task.each_iteration

        def watched(item: Any, /, *args: Any, **kwargs: Any) -> None:
            self._item = mark(item)
            each(item, *args, **kwargs)
            ending = self.ending
            if ending and ending.how is How.KILLED_INSIDE and ending.at == self.here + 1:
                raise Died

        vars(self.task)["each_iteration"] = watched
        try:
            yield
        finally:
            vars(self.task).pop("each_iteration", None)

    @contextmanager
    def _profiled(self) -> Iterator[None]:
        if self.profile is None:
            yield
            return
        before = sys.getprofile()
        sys.setprofile(self.profile(self))
        try:
            yield
        finally:
            sys.setprofile(before)

    # -- how it ended -----------------------------------------------------------------------

    def _died(self) -> None:
        self.how = self.ending.how if self.ending is not None else How.FAILED
        if self.how is How.TERMINATED and self.execution is not None:
            self.saved = encode(self.execution.checkpoint)  # as a pool child does that gets SIGTERM
        kept = None if self.execution is None else self.execution.work.kept
        if kept is not None:
            self.saved, self.saved_at = encode(kept), kept.steps  # the rest was rolled back

    def _returned(self, state: str, result: Any) -> None:
        if self.how is How.STOPPED and state == states.IGNORED:
            return
        if self.error is not None or state in (states.FAILURE, states.REJECTED, states.RETRY):
            self.how, self.error = How.FAILED, self.error or result
            return
        self.how, self.result = How.FINISHED, None if state == states.IGNORED else result
        if self.execution is not None:
            self.saved = encode(self.execution.checkpoint)


def task_of(thing: Any) -> IterableTask:
    """The iterable task that a name in a user's module stands for.

    Raises:
        TypeError: it is no iterable task of an app.
    """
    resolve = getattr(thing, "_get_current_object", None)
    task = resolve() if resolve is not None else thing
    if not isinstance(task, IterableTask):
        what = "a class; register it, and pass the task" if isinstance(task, type) else "not one"
        raise TypeError(f"an iterable task is needed, and {thing!r:.200} is {what}")
    return task


def as_sent(
    task: IterableTask, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments as a message brings them: new objects for each execution.

    Raises:
        TypeError: they cannot be sent.
    """
    serializer = task.serializer or task.app.conf.task_serializer
    try:
        kind, encoding, body = serialization.dumps((list(args), dict(kwargs)), serializer)
        sent_args, sent_kwargs = serialization.loads(body, kind, encoding, accept=[kind])
    except Exception as exc:
        raise TypeError(
            f"{task.name}: the arguments {args!r:.200} {kwargs!r:.200} cannot be sent as "
            f"{serializer}, so delay() would raise as well: {exc}"
        ) from exc
    return tuple(sent_args), dict(sent_kwargs)

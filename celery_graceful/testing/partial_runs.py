"""``run_until``: running a task for some of its items, and resuming it from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from celery_graceful.model.run.cursor import Checkpoint, decode
from celery_graceful.tasks.iterable import IterableTask
from celery_graceful.testing.staged_execution import Ending, How, Stage, task_of


@dataclass(frozen=True)
class PartialRun:
    """A run that was interrupted between two items, or is done."""

    task: IterableTask
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    #: The task id, the same for all executions.
    task_id: str
    #: The checkpoint as a store would have it: text.
    checkpoint: str = field(repr=False)
    #: Whether all items are done.
    finished: bool
    #: What the task returned, once it is finished.
    result: Any
    #: How often the run was resumed.
    resumptions: int

    @property
    def cursor(self) -> Any:
        """Everything up to and including this is done; ``None`` before the first item."""
        return self._decoded.cursor

    @property
    def carry(self) -> dict[str, Any]:
        """The carry, as the next execution gets it."""
        return self._decoded.carry

    @property
    def steps(self) -> int:
        """Items done since the run began."""
        return self._decoded.steps

    @property
    def total(self) -> int | None:
        """What ``count()`` said when the run began."""
        return self._decoded.total

    @property
    def _decoded(self) -> Checkpoint:
        return decode(self.checkpoint)

    def resume(self, items: int | None = None) -> PartialRun:
        """Resume from the checkpoint, as another worker would.

        Args:
            items: how many items more; ``None``: to the end.

        Raises:
            ValueError: the run is finished, or ``items`` is negative.
        """
        if self.finished:
            raise ValueError(f"{self.task.name}: the run is finished, there is nothing to resume")
        return _run(
            self.task,
            self.args,
            self.kwargs,
            self.task_id,
            items,
            start=self.checkpoint,
            resumptions=self.resumptions + 1,
        )


def run_until(
    task: Any,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    items: int | None = None,
) -> PartialRun:
    """Run an iterable task here, without broker and store, and interrupt it after some items.

    Args:
        task: the task; generator or class.
        args: its positional arguments.
        kwargs: its keyword arguments; ``cursor`` seeds it.
        items: how many items are done before it is interrupted; 0: before the first; ``None``:
            it runs to its end. A run with fewer items finishes.

    Returns:
        How far it came; ``resume()`` continues from there.

    Raises:
        ValueError: ``items`` is negative.
        TypeError: ``task`` is no iterable task, or the arguments cannot be sent in a message.
        Exception: whatever the task raises.
    """
    return _run(task_of(task), tuple(args), dict(kwargs or {}), str(uuid4()), items)


def _run(
    task: IterableTask,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    task_id: str,
    items: int | None,
    *,
    start: str | None = None,
    resumptions: int = 0,
) -> PartialRun:
    if items is not None and items < 0:
        raise ValueError(f"items is a number of items, 0 or more, not {items}")
    ending = None if items is None else Ending(How.STOPPED, items)
    stage = Stage(task, start, ending=ending, resumptions=resumptions)
    stage.run(args, kwargs, task_id)
    if stage.error is not None:
        raise stage.error
    return PartialRun(
        task,
        args,
        kwargs,
        task_id,
        checkpoint=stage.saved or "",
        finished=stage.how is How.FINISHED,
        result=stage.result,
        resumptions=resumptions,
    )

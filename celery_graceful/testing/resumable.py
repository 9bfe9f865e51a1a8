"""``assert_resumable``: interrupted and crashed anywhere, a task comes out the same."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple, NoReturn
from uuid import uuid4

from celery_graceful.errors import CursorError, TransactionError
from celery_graceful.model.run.cursor import decode
from celery_graceful.tasks.iterable import IterableTask
from celery_graceful.testing.findings import (
    LEFT_BEHIND,
    Difference,
    advice,
    describe,
    differ,
    error_hint,
    items_differ,
)
from celery_graceful.testing.marks import Seen, moved_in, snapshot
from celery_graceful.testing.memory import Memory
from celery_graceful.testing.outward import Outward
from celery_graceful.testing.staged import Ending, How, Stage, task_of
from celery_graceful.testing.trials import Trial, told_to_die, trials
from celery_graceful.text.counting import counted

#: What is compared, and may be left out.
PARTS = ("items", "total", "carry", "result", "outcome")


def assert_resumable(
    task: Any,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    outcome: Callable[[], Any] | None = None,
    reset: Callable[[], Any] | None = None,
    crashes: bool = True,
    flush_every: int = 3,
    limit: int = 20,
    coarse_cursor: bool = False,
    ignore: Collection[str] = (),
) -> None:
    """Interrupt and crash an iterable task after each of its items; it has to come out the same.

    Runs the task many times, here and now, without broker and store, and compares with an
    undisturbed run: items, carry, result and ``outcome()``. Before each execution, what the task
    keeps on itself, in globals and in variables of enclosing functions is put back, as a new
    process would not have it; what ``outcome`` and ``reset`` name is left alone.

    Args:
        task: the task; generator or class.
        args: its positional arguments, sent through the task's serializer for each execution.
        kwargs: its keyword arguments; ``cursor`` seeds it.
        outcome: returns what the task left in the world, such as the rows of a table.
        reset: restores the world before each run.
        crashes: whether the task is killed as well, so that items run again.
        flush_every: items between two saved checkpoints of an execution that crashes.
        limit: how many places are tried of each kind, spread over the run; at least 2.
        coarse_cursor: items may share a cursor, and run again when interrupted within those.
        ignore: what is not compared: ``"items"``, ``"total"``, ``"carry"``, ``"result"``,
            ``"outcome"``.

    Raises:
        AssertionError: it came out differently; the message says where, in what, and what to look
            at.
        TypeError: ``task`` is no iterable task, or the arguments cannot be sent in a message.
        ValueError: an option makes no sense.
    """
    unknown = set(ignore) - set(PARTS)
    if unknown or isinstance(ignore, str):
        raise ValueError(f"ignore takes a collection of {', '.join(PARTS)}, not {ignore!r}")
    if limit < 2 or flush_every < 1:
        raise ValueError(f"limit is at least 2, flush_every 1: {limit=}, {flush_every=}")
    the_task = task_of(task)
    memory = Memory(the_task, [thing for thing in (outcome, reset) if thing is not None])
    examination = _Examination(
        the_task, tuple(args), dict(kwargs or {}), outcome, reset, frozenset(ignore), memory
    )
    examination.coarse = coarse_cursor
    outward = Outward(memory)
    examination.undisturbed(outward)
    items = len(examination.course.seen)
    for trial in trials(
        items,
        examination.course.moved,
        limit=limit,
        crashes=crashes,
        inside=the_task.body is None,
        flush_every=flush_every,
    ):
        examination.hold(trial)
    if crashes:
        for trial in told_to_die(outward.items, items):
            examination.hold(trial, outward)


class _Course(NamedTuple):
    """What a run came to, from its beginning to its end."""

    seen: list[Seen]
    #: Without the items: part → value.
    values: dict[str, Any]

    #: The places where the cursor is another than an item before.
    moved: frozenset[int]


@dataclass
class _Examination:
    task: IterableTask
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outcome: Callable[[], Any] | None
    reset: Callable[[], Any] | None
    ignored: frozenset[str]
    memory: Memory
    coarse: bool = False
    task_id: str = field(default_factory=lambda: str(uuid4()))
    course: _Course = field(default_factory=lambda: _Course([], {}, frozenset()))

    # -- the measure ------------------------------------------------------------------------

    def undisturbed(self, outward: Outward) -> None:
        """Run it twice as it is: the first is the measure, the second has to come out the same."""
        self._begin()
        execution = Stage(self.task)
        execution.run(self.args, self.kwargs, self.task_id)
        if execution.how is not How.FINISHED:
            wrong = self._raised(execution, set())
            if not isinstance(execution.error, (CursorError, TransactionError)):
                wrong = wrong._replace(hint="the task, or the arguments and the world of the test.")
            self._fail(
                f"fails undisturbed, after {counted(len(execution.seen), 'item')}.",
                [wrong],
                [execution],
            )
        self.course = _Course(execution.seen, self._values(execution), moved_in(execution.seen))
        total = self.course.values.get("total")
        if total is not None and total != len(execution.seen) and "cursor" not in self.kwargs:
            done, said = (
                f"{counted(len(execution.seen), 'item was', 'items were')} done",
                f"count() said {total}",
            )
            hint = 'count(): it counts other items than those that run (or pass ignore=["total"]).'
            title = (
                f"counts wrong, as seen undisturbed at its end, after item {len(execution.seen)}."
            )
            self._fail(title, [Difference("total", done, said, hint)], [execution])
        self.hold(Trial("run undisturbed a second time", ()), outward)
        if self.coarse and self._begins_again_after_one():
            self.course = self.course._replace(moved=self.course.moved - {1})

    def _begins_again_after_one(self) -> bool:
        """Whether the first cursor of a page that is not done yet means: from the beginning."""
        self._begin()
        *_, execution = self._executions(Trial("", [Ending(How.STOPPED, 1)]), None)
        return execution.seen == self.course.seen

    def _values(self, execution: Stage) -> dict[str, Any]:
        checkpoint = decode(execution.saved or "")
        values = {"total": checkpoint.total, "carry": checkpoint.carry, "result": execution.result}
        if self.outcome is not None:
            values["outcome"] = snapshot(self.outcome())
        return {part: value for part, value in values.items() if part not in self.ignored}

    def _begin(self) -> None:
        if self.reset is not None:
            self.reset()
        self.memory.forget()

    # -- a trial ----------------------------------------------------------------------------

    def hold(self, trial: Trial, outward: Outward | None = None) -> None:
        """Run one trial; raises if it comes out differently."""
        self._begin()
        executions: list[Stage] = []
        changed: set[str] = set()
        for execution in self._executions(trial, outward):
            executions.append(execution)
            changed |= self.memory.forget()
            found = self._wrong_in(execution, trial, changed)
            if found:
                self._fail(_differs(self._where(trial, execution)), found, executions, changed)
        found = self._wrong_at_the_end(executions, trial, changed)
        if found:
            self._fail(_differs(trial.what), found, executions, changed)

    def _executions(self, trial: Trial, outward: Outward | None) -> Iterator[Stage]:
        place, start = 0, None
        for number, ending in enumerate([*trial.endings, None]):
            execution = Stage(
                self.task,
                start,
                place=place,
                ending=ending,
                resumptions=number,
                most=2 * len(self.course.seen) + 2,
                profile=outward.watch if outward is not None else None,
            )
            execution.run(self.args, self.kwargs, self.task_id)
            yield execution
            if ending is None or execution.how is How.FINISHED:
                return
            start = execution.saved
            place = ending.saved_at
            if ending.how is How.STOPPED:
                place = ending.at
            elif ending.how is How.TOLD_TO_DIE:
                place = ending.at - 1
            if execution.saved_at is not None and ending.how is not How.STOPPED:
                place = execution.saved_at
            if self.coarse:
                place = max((p for p in self.course.moved if p <= place), default=0)

    def _wrong_in(self, execution: Stage, trial: Trial, changed: set[str]) -> list[Difference]:
        if execution.how is How.FAILED and not execution.endless:
            return [self._raised(execution, changed)]
        if "items" in self.ignored and not execution.endless:
            return []
        wrong = items_differ(self.course.seen, execution.place, execution)
        if wrong is None:
            return []
        return [
            wrong if trial.endings else wrong._replace(hint=f"{wrong.hint} Or at {LEFT_BEHIND}")
        ]

    def _wrong_at_the_end(
        self, executions: list[Stage], trial: Trial, changed: set[str]
    ) -> list[Difference]:
        how = trial.endings[-1].how if trial.endings else None
        found = []
        for part, got in self._values(executions[-1]).items():
            wanted = self.course.values[part]
            wrong = differ(part, wanted, got, advice(part, how, changed))
            found += [wrong] if wrong is not None else []
        return found

    # -- failing ----------------------------------------------------------------------------

    def _raised(self, execution: Stage, changed: set[str]) -> Difference:
        hint = error_hint(execution.error, changed)
        return Difference("error", "no error", f"{execution.error!r:.400}", hint)

    def _where(self, trial: Trial, execution: Stage) -> str:
        if trial.endings:
            return trial.what
        pairs = zip(self.course.seen, execution.seen)  # noqa: B905 - as far as both go
        alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        return f"{trial.what}, from item {alike + 1} on"

    def _fail(
        self,
        title: str,
        found: list[Difference],
        executions: list[Stage],
        changed: Collection[str] = (),
    ) -> NoReturn:
        message = describe(f"{self.task.name} {title}", found, executions, changed)
        raise AssertionError(message) from executions[-1].error


def _differs(what: str) -> str:
    return f"comes out differently when {what}."

"""``assert_resumable``: interrupted and crashed anywhere, a task has the same outcome."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple, NoReturn
from uuid import uuid4

from celery_graceful.errors import CursorError, TransactionError
from celery_graceful.model.run.cursor import decode
from celery_graceful.tasks.iterable import IterableTask
from celery_graceful.testing.failure_message import (
    LEFT_BEHIND,
    Difference,
    advice,
    describe,
    differ,
    error_hint,
    items_differ,
)
from celery_graceful.testing.outside_calls import OutsideCalls
from celery_graceful.testing.process_state import ProcessState
from celery_graceful.testing.seen_items import Seen, moved_in, snapshot
from celery_graceful.testing.staged_execution import Ending, How, Stage, task_of
from celery_graceful.testing.trials import Trial, terminated_trials, trials
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
    """Interrupt and crash an iterable task after each of its items, and expect the same outcome.

    Runs the task many times in this process, without broker and store, and compares with an
    undisturbed run: items, carry, result and ``outcome()``. Before each execution, what the task
    keeps on itself, in globals and in variables of enclosing functions is restored, as a new
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
        AssertionError: the outcome differs; the message says where, in what, and what to look at.
        TypeError: ``task`` is no iterable task, or the arguments cannot be sent in a message.
        ValueError: an option makes no sense.
    """
    unknown = set(ignore) - set(PARTS)
    if unknown or isinstance(ignore, str):
        raise ValueError(f"ignore takes a collection of {', '.join(PARTS)}, not {ignore!r}")
    if limit < 2 or flush_every < 1:
        raise ValueError(f"limit is at least 2, flush_every 1: {limit=}, {flush_every=}")
    the_task = task_of(task)
    state = ProcessState(the_task, [thing for thing in (outcome, reset) if thing is not None])
    examination = _Examination(
        the_task, tuple(args), dict(kwargs or {}), outcome, reset, frozenset(ignore), state
    )
    examination.coarse = coarse_cursor
    outside_calls = OutsideCalls(state)
    examination.undisturbed(outside_calls)
    items = len(examination.expected.seen)
    for trial in trials(
        items,
        examination.expected.moved,
        limit=limit,
        crashes=crashes,
        inside=the_task.body is None,
        flush_every=flush_every,
    ):
        examination.check(trial)
    if crashes:
        for trial in terminated_trials(outside_calls.items, items):
            examination.check(trial, outside_calls)


class _Outcome(NamedTuple):
    """What an undisturbed run did, from its beginning to its end."""

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
    state: ProcessState
    coarse: bool = False
    task_id: str = field(default_factory=lambda: str(uuid4()))
    expected: _Outcome = field(default_factory=lambda: _Outcome([], {}, frozenset()))

    # -- without interruptions --------------------------------------------------------------

    def undisturbed(self, outside_calls: OutsideCalls) -> None:
        """Run it twice as it is: the second outcome has to be that of the first."""
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
        self.expected = _Outcome(execution.seen, self._values(execution), moved_in(execution.seen))
        total = self.expected.values.get("total")
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
        self.check(Trial("run undisturbed a second time", ()), outside_calls)
        if self.coarse and self._begins_again_after_one():
            self.expected = self.expected._replace(moved=self.expected.moved - {1})

    def _begins_again_after_one(self) -> bool:
        """Whether the first cursor of a page that is not done yet means: from the beginning."""
        self._begin()
        *_, execution = self._executions(Trial("", [Ending(How.STOPPED, 1)]), None)
        return execution.seen == self.expected.seen

    def _values(self, execution: Stage) -> dict[str, Any]:
        checkpoint = decode(execution.saved or "")
        values = {"total": checkpoint.total, "carry": checkpoint.carry, "result": execution.result}
        if self.outcome is not None:
            values["outcome"] = snapshot(self.outcome())
        return {part: value for part, value in values.items() if part not in self.ignored}

    def _begin(self) -> None:
        if self.reset is not None:
            self.reset()
        self.state.forget()

    # -- a trial ----------------------------------------------------------------------------

    def check(self, trial: Trial, outside_calls: OutsideCalls | None = None) -> None:
        """Run one trial; raises if the outcome differs."""
        self._begin()
        executions: list[Stage] = []
        changed: set[str] = set()
        for execution in self._executions(trial, outside_calls):
            executions.append(execution)
            changed |= self.state.forget()
            found = self._wrong_in(execution, trial, changed)
            if found:
                self._fail(_differs(self._where(trial, execution)), found, executions, changed)
        found = self._wrong_at_the_end(executions, trial, changed)
        if found:
            self._fail(_differs(trial.what), found, executions, changed)

    def _executions(self, trial: Trial, outside_calls: OutsideCalls | None) -> Iterator[Stage]:
        place, start = 0, None
        for number, ending in enumerate([*trial.endings, None]):
            execution = Stage(
                self.task,
                start,
                place=place,
                ending=ending,
                resumptions=number,
                most=2 * len(self.expected.seen) + 2,
                profile=outside_calls.watch if outside_calls is not None else None,
            )
            execution.run(self.args, self.kwargs, self.task_id)
            yield execution
            if ending is None or execution.how is How.FINISHED:
                return
            start = execution.saved
            place = ending.saved_at
            if ending.how is How.STOPPED:
                place = ending.at
            elif ending.how is How.TERMINATED:
                place = ending.at - 1
            if execution.saved_at is not None and ending.how is not How.STOPPED:
                place = execution.saved_at
            if self.coarse:
                place = max((p for p in self.expected.moved if p <= place), default=0)

    def _wrong_in(self, execution: Stage, trial: Trial, changed: set[str]) -> list[Difference]:
        if execution.how is How.FAILED and not execution.endless:
            return [self._raised(execution, changed)]
        if "items" in self.ignored and not execution.endless:
            return []
        wrong = items_differ(self.expected.seen, execution.place, execution)
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
            wanted = self.expected.values[part]
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
        pairs = zip(self.expected.seen, execution.seen)  # noqa: B905 - as far as both go
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

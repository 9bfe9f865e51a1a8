"""Every state that a small world can reach, with ``decide()`` itself as the rule.

The world: a broker's messages, the executions at work, one record, and a budget of faults, stops
and operator's verbs. Time is two-valued: what is due lies ahead, or has come. All executions are
children of one worker, so that owners' names protect nothing. A state is *unsafe* when a promise is
broken in it, and *stuck* when no sequence of moves without a further fault ends the run.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pytest

from celery_graceful.model.run.record import Outcome
from celery_graceful.model.run.verdict import Policy
from tests.unit.model.small_moves import Explorer
from tests.unit.model.small_world import Book, Message, World


@dataclass
class Explored:
    states: int
    unsafe: list[str]
    stuck: list[str]
    labels: set[str]
    outcomes: set[Outcome]


@pytest.fixture(autouse=True)
def _no_garbage_is_looked_for() -> Iterator[None]:
    """Hundreds of thousands of states, and no cycle among them."""
    gc.disable()
    yield
    gc.enable()


@cache
def explore(
    *,
    items: int = 2,
    faults: int = 2,
    stops: int = 2,
    workers: int = 2,
    verbs: int = 0,
    uses: int = 0,
    max_crashes: int = 0,
    strict: bool = True,
    vanishes: int = 0,
    unique_fences: bool = True,
) -> Explored:
    book = Book(Policy(lease_ttl=1.0, max_crashes=max_crashes))
    x = Explorer(book, items, workers, faults, strict, vanishes, unique_fences)
    first = World(0, (Message(0, False, 0),), (), (0,) * items, faults, stops, verbs, uses)
    numbers, worlds = {first: 0}, [first]
    trail: list[tuple[int, str]] = [(-1, "")]
    before: list[list[int]] = [[]]
    unsafe: list[tuple[int, str]] = []
    labels: set[str] = set()
    todo = deque([0])
    while todo:
        n = todo.popleft()
        for label, target, free, wrong in x.moves(worlds[n]):
            target = x.tidy(target)
            t = numbers.setdefault(target, len(worlds))
            labels.add(label)
            if t == len(worlds):
                worlds.append(target)
                trail.append((n, label))
                before.append([])
                wrong = wrong or x.wrong(target)
                if not wrong:
                    todo.append(t)
            if wrong:
                unsafe.append((t, wrong))
            if free:
                before[t].append(n)
    over = [i for i, w in enumerate(worlds) if (r := x.record(w)) is not None and not r.live]
    finds_end, todo = set(over), deque(over)
    while todo:
        for p in before[todo.popleft()]:
            if p not in finds_end:
                finds_end.add(p)
                todo.append(p)
    broken = {n for n, _ in unsafe}
    stuck = [i for i in range(len(worlds)) if i not in finds_end and i not in broken]

    def told(n: int) -> str:
        way, end = [], worlds[n]
        while n > 0:
            n, label = trail[n]
            way.append(label)
        return f"{' > '.join(reversed(way))}: {end}, {x.record(end)}"

    return Explored(
        len(worlds),
        [f"{wrong}: {told(n)}" for n, wrong in unsafe[:3]],
        [told(n) for n in stuck[:3]],
        labels,
        {r.outcome for r in x.book.records if r is not None and r.outcome and not r.live},
    )


ALL = set(Outcome)
COMPLETED = {Outcome.COMPLETED}


@pytest.mark.parametrize(
    ("bounds", "outcomes"),
    [
        pytest.param({"faults": 0, "verbs": 1}, ALL, id="only graceful stops"),
        pytest.param({"faults": 1, "stops": 1}, COMPLETED, id="a fault"),
        pytest.param(
            {"items": 1, "faults": 2, "stops": 1},
            COMPLETED,
            id="two faults",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"items": 1, "faults": 1, "stops": 1, "workers": 3}, COMPLETED, id="three executions"
        ),
        pytest.param({"items": 1, "faults": 1, "stops": 1, "verbs": 1}, ALL, id="an operator"),
        pytest.param(
            {"items": 1, "faults": 2, "stops": 1, "max_crashes": 1},
            {Outcome.COMPLETED, Outcome.FAILED},
            id="giving up",
        ),
        pytest.param(
            {"items": 1, "faults": 1, "stops": 1, "uses": 1, "strict": False},
            COMPLETED,
            id="a re-used id",
        ),
        pytest.param(
            {"items": 2, "faults": 0, "stops": 1, "vanishes": 1},
            COMPLETED,
            id="the record vanishes",
        ),
        pytest.param(
            {"items": 1, "faults": 0, "stops": 1, "vanishes": 2},
            COMPLETED,
            id="the record vanishes twice",
        ),
    ],
)
def test_no_reachable_state_is_unsafe_or_stuck(
    bounds: dict[str, int], outcomes: set[Outcome]
) -> None:
    found = explore(**bounds)
    assert not found.unsafe, "\n".join(found.unsafe)
    assert not found.stuck, "\n".join(found.stuck)
    assert found.outcomes == outcomes


def test_the_exploration_reaches_every_verdict_and_move() -> None:
    found = explore(items=1, faults=1, stops=1, verbs=1)
    assert found.labels >= {
        "start", "resume", "return_saved", "drop", "item", "flush", "fenced", "finish",
        "leave: shutdown publish", "leave: returned publish", "leave: retry publish",
        "leave: paused done", "leave: cancelled done", "publish", "publish lost",
        "publish uncertain", "publish refused", "give back", "crash", "release", "redelivery",
        "leave: without the store", "leave: without the store, crash",
        "leave: without the store, lost", "leave: without the store, uncertain",
        "stall", "time passes", "rescue", "rescue, lost", "cancel", "pause", "resend", "kill",
    }  # fmt: skip


def test_an_execution_goes_on_without_its_record() -> None:
    found = explore(items=2, faults=0, stops=1, vanishes=1)
    assert found.labels >= {"vanish", "write back"}


def test_after_a_fault_a_record_that_vanishes_makes_no_two_runners() -> None:
    """A run of which nobody knows any more may be lost; two of it may not be."""
    found = explore(items=1, faults=1, stops=0, vanishes=1)
    assert not found.unsafe, "\n".join(found.unsafe)


def test_fences_that_are_counted_from_one_would_collide() -> None:
    found = explore(items=1, faults=1, stops=0, vanishes=1, unique_fences=False)
    assert found.unsafe

"""Throughput of plain tasks: a worker with the plugin installed against one without."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Figure, ratio_at_least, ratio_at_most
from benchmarks.marks import Message, fill, work_off
from tests.servers import Valkey

__all__ = ["measure"]

BOUND = 0.95
TASKS, QUICK_TASKS = 4000, 500
ROUNDS, QUICK_ROUNDS = 20, 2

#: With the plugin, without it, and without it again: what the last two differ by is chance.
WITH, WITHOUT, AGAIN = 0, 1, 2
#: Each follows and precedes each other equally often.
ORDERS = ((0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1), (2, 0, 1), (1, 0, 2))


@dataclass(frozen=True, slots=True)
class Side:
    """One worker's figures: tasks per second, and milliseconds of processor time per task."""

    rate: float
    processor: float


Round = dict[int, Side]


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure rounds of all three in changing order, each in a fresh worker."""
    tasks, count = (QUICK_TASKS, QUICK_ROUNDS) if quick else (TASKS, ROUNDS)
    rounds: list[Round] = []
    with Valkey() as server:
        fill(server, _queue(tasks))
        for number in range(count):
            order = ORDERS[number % len(ORDERS)]
            rounds.append({side: _side(server, tasks, side == WITH) for side in order})
            _tell(rounds[-1])
    return [
        _rate(rounds, "with / without", WITH, BOUND),
        _rate(rounds, "A/A: without / without", AGAIN, None),
        _processor(rounds, "processor time, with / without", WITH),
        _processor(rounds, "processor time, A/A", AGAIN),
    ]


def _queue(tasks: int) -> list[Message]:
    warm_up: list[Message] = [("nothing", ())] * (tasks // 10)
    timed: list[Message] = [("nothing", ())] * tasks
    return [*warm_up, ("mark", ("begin",)), *timed, ("mark", ("end",))]


def _side(server: Valkey, tasks: int, plugin: bool) -> Side:
    worked = work_off(server, 2, plugin=plugin)
    (_, began), (_, ended) = worked.marks
    return Side(tasks / (ended - began), worked.processor / tasks * 1e3)


def _tell(sides: Round) -> None:
    rates = ", ".join(f"{sides[side].rate:.0f}" for side in (WITH, WITHOUT, AGAIN))
    print(f"  tasks/s with, without, without: {rates}", file=sys.stderr, flush=True)


def _rate(rounds: list[Round], what: str, side: int, bound: float | None) -> Figure:
    ratios = [r[side].rate / r[WITHOUT].rate for r in rounds]
    note = _note(rounds, side, lambda s: s.rate, "tasks/s")
    return ratio_at_least("throughput", what, ratios, bound, surely=True, note=note)


def _processor(rounds: list[Round], what: str, side: int) -> Figure:
    ratios = [r[side].processor / r[WITHOUT].processor for r in rounds]
    note = _note(rounds, side, lambda s: s.processor, "ms")
    return ratio_at_most("throughput", what, ratios, None, note=note)


def _note(rounds: list[Round], side: int, value: Callable[[Side], float], unit: str) -> str:
    ours, other = (median(value(r[i]) for r in rounds) for i in (side, WITHOUT))
    return f"{ours:.3g} against {other:.3g} {unit}"

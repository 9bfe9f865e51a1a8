"""Throughput of plain tasks: a worker with the plugin installed against one without."""

from __future__ import annotations

import sys

from benchmarks.figures import Figure, ratio_at_least
from benchmarks.marks import fill, work_off
from tests.servers import Valkey

__all__ = ["measure"]

BOUND = 0.95
TASKS, QUICK_TASKS = 4000, 1000
ROUNDS, QUICK_ROUNDS = 20, 3

#: With the plugin, without it, and without it again: what the last two differ by is chance.
WITH, WITHOUT, AGAIN = 0, 1, 2


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure rounds of all three in changing order, each in a fresh worker."""
    tasks, rounds = (QUICK_TASKS, QUICK_ROUNDS) if quick else (TASKS, ROUNDS)
    rates: list[list[float]] = []
    with Valkey() as server:
        # The first tenth warms up.
        fill(
            server, [*_plain(tasks // 10), ("mark", ("begin",)), *_plain(tasks), ("mark", ("end",))]
        )
        for number in range(rounds):
            rate = [0.0, 0.0, 0.0]
            for side in _order(number):
                begin, end = work_off(server, 2, plugin=side == WITH)
                rate[side] = tasks / (end[1] - begin[1])
            rates.append(rate)
            print("  tasks/s", *(f"{r:.0f}" for r in rate), file=sys.stderr, flush=True)
    return [
        ratio_at_least(
            "throughput", "with / without", [r[WITH] / r[WITHOUT] for r in rates], BOUND
        ),
        ratio_at_least(
            "throughput", "A/A: without / without", [r[AGAIN] / r[WITHOUT] for r in rates], None
        ),
    ]


def _plain(count: int) -> list[tuple[str, tuple[str, ...]]]:
    return [("nothing", ())] * count


def _order(number: int) -> list[int]:
    """All six orders, one after the other."""
    orders = ([0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1], [2, 0, 1], [1, 0, 2])
    return list(orders[number % 6])

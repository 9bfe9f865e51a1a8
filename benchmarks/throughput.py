"""Throughput of plain tasks: a worker with the plugin installed against one without.

In each round all workers live side by side and take turns of a second or so, the others stopped
meanwhile: what else the machine does is then spread evenly over them.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Figure, ratio_at_least, ratio_at_most
from benchmarks.queues import FIRST_COPY, NONE, PLUGIN, copy, fill, left, processor, worker_of
from tests.harness import wait_for
from tests.harness.worker import forget_started
from tests.servers import Valkey

BOUND = 0.95
ROUNDS, QUICK_ROUNDS = 20, 2
#: Turns of each worker in a round, and tasks in a turn.
TURNS, TASKS = 6, 600
WARM_UP = 400
#: Tasks that are there beyond those that are timed: a turn is a little longer than it should be.
SPARE = 2000
#: Seconds between two looks at the queue, and for a turn at most.
LOOK, PATIENCE = 0.01, 120.0

#: With the plugin, without it, and without it again: what the last two differ by is chance.
WITH, WITHOUT, AGAIN = 0, 1, 2
#: Each follows and precedes each other equally often.
ORDERS = ((0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1), (2, 0, 1), (1, 0, 2))


@dataclass(frozen=True, slots=True)
class Measured:
    """One worker's figures: tasks per second of its turns, milliseconds of processor per task."""

    rate: float
    processor: float


Round = list[Measured]


class Side:
    """A worker that runs only in its turns, and what it did in them."""

    def __init__(self, server: Valkey, number: int, plugin: str) -> None:
        self._server = server
        self._database = FIRST_COPY + number
        copy(server, self._database)
        self.worker = worker_of(server, self._database, plugin=plugin)
        self._tasks = 0
        self._seconds = 0.0
        self._before = 0.0

    def warm_up(self) -> None:
        """Run the first tasks, which do not count."""
        self._run(WARM_UP)
        self._tasks, self._seconds = 0, 0.0
        self._before = processor(self.worker)

    def turn(self) -> None:
        """Work for a while, alone."""
        self.worker.signal_group(signal.SIGCONT)
        self._run(TASKS)

    def measured(self) -> Measured:
        """What it did in its turns."""
        spent = processor(self.worker) - self._before
        return Measured(self._tasks / self._seconds, spent / self._tasks * 1e3)

    def _run(self, tasks: int) -> None:
        began, before = time.monotonic(), left(self._server, self._database)

        def done() -> bool:
            if self.worker.exit_code is not None:
                raise RuntimeError(f"the worker ended\n{self.worker.log()}")
            return left(self._server, self._database) <= before - tasks

        wait_for(done, PATIENCE, self.worker.log, interval=LOOK)
        self.worker.signal_group(signal.SIGSTOP)
        self._seconds += time.monotonic() - began
        self._tasks += before - left(self._server, self._database)


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure rounds of three fresh workers each."""
    return compare("throughput", (PLUGIN, NONE, NONE), quick=quick)


def compare(name: str, plugins: tuple[str, str, str], *, quick: bool) -> list[Figure]:
    """Measure workers with different parts of the plugin: the one in question, and two alike."""
    rounds: list[Round] = []
    with Valkey() as server:
        fill(server, [("nothing", ())] * (WARM_UP + TURNS * TASKS + SPARE))
        for _ in range(QUICK_ROUNDS if quick else ROUNDS):
            rounds.append(_round(server, plugins))
            _tell(rounds[-1])
    return [
        _rate(name, rounds, "with / without", WITH, BOUND),
        _rate(name, rounds, "A/A: without / without", AGAIN, None),
        _processor(name, rounds, "processor time, with / without", WITH),
        _processor(name, rounds, "processor time, A/A", AGAIN),
    ]


def _round(server: Valkey, plugins: tuple[str, str, str]) -> Round:
    sides = [Side(server, number, plugins[number]) for number in (WITH, WITHOUT, AGAIN)]
    try:
        with ExitStack() as running:
            for side in sides:
                running.enter_context(side.worker)
                side.warm_up()
            for number in range(TURNS):
                for which in ORDERS[number % len(ORDERS)]:
                    sides[which].turn()
            return [side.measured() for side in sides]
    finally:
        forget_started()


def _tell(sides: Round) -> None:
    rates = ", ".join(f"{sides[side].rate:.0f}" for side in (WITH, WITHOUT, AGAIN))
    print(f"  tasks/s with, without, without: {rates}", file=sys.stderr, flush=True)


def _rate(name: str, rounds: list[Round], what: str, side: int, bound: float | None) -> Figure:
    ratios = [r[side].rate / r[WITHOUT].rate for r in rounds]
    note = _note(rounds, side, lambda s: s.rate, "tasks/s")
    return ratio_at_least(name, what, ratios, bound, surely=True, note=note)


def _processor(name: str, rounds: list[Round], what: str, side: int) -> Figure:
    ratios = [r[side].processor / r[WITHOUT].processor for r in rounds]
    note = _note(rounds, side, lambda s: s.processor, "ms")
    return ratio_at_most(name, what, ratios, None, note=note)


def _note(rounds: list[Round], side: int, value: Callable[[Measured], float], unit: str) -> str:
    ours, other = (median(value(r[i]) for r in rounds) for i in (side, WITHOUT))
    return f"{ours:.3g} against {other:.3g} {unit}"

"""Cost per item of both styles against the same loop without the plugin, in one process."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median

from benchmarks.figures import Figure, ratio_at_most
from benchmarks.inside import inside_a_worker
from benchmarks.loops import ITEMS, Pair, long_pairs, pairs, register

ROUNDS, LONG_ROUNDS, QUICK_ROUNDS = 15, 3, 3


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of one loop: by the clock, and of this process's processor time."""

    clock: float
    processor: float


@dataclass
class Case:
    """A pair of loops, measured again and again."""

    pair: Pair
    rounds: list[list[Spent]] = field(default_factory=list)

    def round(self, backwards: bool) -> None:
        """Measure each loop once."""
        sides = self.pair.sides
        spent = {side: _spent(sides[side]) for side in _order(len(sides), backwards)}
        self.rounds.append([spent[side] for side in range(len(sides))])

    def figures(self) -> Iterator[Figure]:
        """The ratios of all rounds."""
        what, bound = self.pair.what, self.pair.bound
        ours, bare = (median(r[i].clock for r in self.rounds) for i in (0, 1))
        processor = median(r[0].processor / r[1].processor for r in self.rounds)
        to_ns = 1e9 / self.pair.items
        note = (
            f"{ours * to_ns:.1f} ns against {bare * to_ns:.1f} ns per item; "
            f"{processor:.2f} × in processor time"
        )
        yield ratio_at_most("items", what, self._ratios(1), bound, note=note)
        if len(self.pair.sides) > 2:
            yield ratio_at_most("items", f"{what}, against deque(…, 0)", self._ratios(2), None)

    def _ratios(self, other: int) -> list[float]:
        return [r[0].clock / r[other].clock for r in self.rounds]


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure interleaved rounds of all pairs of loops."""
    print("  Python", sys.version.split()[0], file=sys.stderr)
    with inside_a_worker() as app:
        tasks = register(app)
        cases = _measured(pairs(tasks, ITEMS), QUICK_ROUNDS if quick else ROUNDS, warm_up=True)
        if not quick:
            cases += _measured(long_pairs(tasks), LONG_ROUNDS)
    return [figure for case in cases for figure in case.figures()]


def _measured(found: Iterator[Pair], rounds: int, *, warm_up: bool = False) -> list[Case]:
    cases = [Case(pair) for pair in found]
    for number in range(-1 if warm_up else 0, rounds):
        for case in cases:
            case.round(number % 2 == 1)
            if number < 0:
                case.rounds.clear()
    return cases


def _order(sides: int, backwards: bool) -> Iterator[int]:
    return reversed(range(sides)) if backwards else iter(range(sides))


def _spent(loop: Callable[[], object]) -> Spent:
    getattr(loop, "prepare", lambda: None)()
    gc.collect()
    clock, processor = time.perf_counter(), time.process_time()
    loop()
    return Spent(time.perf_counter() - clock, time.process_time() - processor)

"""What looking for leaked processes costs a plain task that has no children.

One worker's child works off blocks of tasks, with the look and without it in turn: so close to each
other in time that the machine's moods hardly tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from statistics import median

from benchmarks.figures import Figure, ratio_at_least
from benchmarks.marks import work_off
from benchmarks.queues import Message, fill
from tests.servers import Valkey

#: Throughput with the look, as a share of that without.
BOUND = 0.99
#: Tasks in a block, and before it, while the look is made ready.
BLOCK, BEFORE = 60, 3
#: Rounds of one worker, in which each kind comes once, and workers.
ROUNDS, WORKERS, QUICK_WORKERS = 90, 4, 2
WARM_UP = 300
#: With the look, without it, and without it again: what the last two differ by is chance.
KINDS = (("warn", "warn"), ("off", "off"), ("again", "off"))


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure rounds of all kinds, in changing order, in several workers."""
    rounds: list[dict[str, float]] = []
    marks = 2 * ROUNDS * len(KINDS)
    with Valkey() as server:
        fill(server, list(_queue()))
        for _ in range(QUICK_WORKERS if quick else WORKERS):
            rounds += _blocks(work_off(server, marks, children=1))
    return [
        _figure("warn / off", "warn", rounds, BOUND),
        _figure("A/A: off / off", "again", rounds, None),
    ]


def _queue() -> Iterator[Message]:
    yield from [("nothing", ())] * WARM_UP
    for number in range(ROUNDS):
        turn = number % len(KINDS)
        turned = KINDS[turn:] + KINDS[:turn]
        for kind, mode in turned if number % 2 else turned[::-1]:
            yield ("look_for_leaks", (mode,))
            yield from [("nothing", ())] * BEFORE
            yield ("mark", ("begin",))
            yield from [("nothing", ())] * BLOCK
            yield ("mark", (kind,))


def _blocks(marks: list[tuple[str, float]]) -> list[dict[str, float]]:
    """Each round's seconds per task by kind."""
    spent = [
        (kind, (at - before) / BLOCK)
        for (_, before), (kind, at) in pairwise(marks)
        if kind != "begin"
    ]
    size = len(KINDS)
    return [dict(spent[i : i + size]) for i in range(0, len(spent), size)]


def _figure(what: str, kind: str, rounds: list[dict[str, float]], bound: float | None) -> Figure:
    ratios = [r["off"] / r[kind] for r in rounds]
    more = median(r[kind] - r["off"] for r in rounds) * 1e6
    note = f"{more:+.1f} µs on {median(r['off'] for r in rounds) * 1e6:.0f} µs per task"
    return ratio_at_least("leaks", what, ratios, bound, note=note)

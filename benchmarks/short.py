"""Short iterable tasks against plain tasks with the same loop, in blocks of one worker's queue."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from benchmarks.figures import Figure, ratio_at_least
from benchmarks.marks import work_off
from benchmarks.queues import Message, fill
from tests.servers import Valkey

BOUND = 0.88
ITEMS = 10
#: Tasks of one kind in a row: so few that a round takes less time than the machine's moods.
BLOCK = 60
#: Rounds of one worker, in which all kinds come once, and workers with each number of children.
ROUNDS, WORKERS, QUICK_WORKERS = 30, 3, 1
CHILDREN = (1, 2)
KINDS = ("short", "loop", "loop_late", "short_class")


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure rounds of all kinds, in changing order, in several workers."""
    figures: list[Figure] = []
    with Valkey() as server:
        fill(server, list(_queue()))
        for children in CHILDREN:
            rounds: list[dict[str, float]] = []
            for _ in range(QUICK_WORKERS if quick else WORKERS):
                marks = 1 + ROUNDS * len(KINDS)
                rounds += _blocks(work_off(server, marks, children=children))
            figures += _figures(rounds, children)
    return figures


def _queue() -> Iterator[Message]:
    for kind in KINDS:  # warm up
        yield from [(kind, (ITEMS,))] * 50
    yield ("mark", ("begin",))
    for number in range(ROUNDS):
        turned = KINDS[number % len(KINDS) :] + KINDS[: number % len(KINDS)]
        for kind in turned if number % 2 else turned[::-1]:
            yield from [(kind, (ITEMS,))] * BLOCK
            yield ("mark", (kind,))


def _blocks(marks: list[tuple[str, float]]) -> list[dict[str, float]]:
    """Each round's seconds by kind."""
    spent = [(kind, at - before) for (_, before), (kind, at) in pairwise(marks)]
    size = len(KINDS)
    return [dict(spent[i : i + size]) for i in range(0, len(spent), size)]


def _figures(rounds: list[dict[str, float]], children: int) -> Iterator[Figure]:
    for ours, plain, bound in (
        ("short", "loop", BOUND),
        ("short_class", "loop", BOUND),
        ("short", "loop_late", None),
        ("loop_late", "loop", None),
    ):
        ratios = [r[plain] / r[ours] for r in rounds]
        note = f"{_ms(rounds, ours):.2f} ms against {_ms(rounds, plain):.2f} ms"
        name = f"{ours} / {plain}, -c {children}"
        yield ratio_at_least("short", name, ratios, bound, note=note)


def _ms(rounds: list[dict[str, float]], kind: str) -> float:
    return sorted(r[kind] for r in rounds)[len(rounds) // 2] / BLOCK * 1e3

"""How long a run's items take: a small bounded history, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Iterable

#: What takes less is not worth knowing, in seconds: it fits in anywhere.
WORTH = 0.1
#: The history counts items by how long they took: up to 10 ms, and in steps of a fifth from there.
_LEAST, _STEP, _STEPS = 0.01, 2**0.25, 112
#: More items are not remembered at full weight: what is older fades.
_MOST = 200
_PERCENTILE = 0.95
#: A batch may grow again after so many at its size, if they took less than this part of the most.
_PROVEN, _SHORT = 20, 0.25

#: Pairs of a step of the scale and the number of items that took so long.
Saved = tuple[tuple[int, int], ...]


class Pace:
    """How long items took. One thread adds; others may read.

    Args:
        saved: what :meth:`saved` returned in an earlier execution.
    """

    def __init__(self, saved: Iterable[tuple[int, int]] = ()) -> None:
        self._counts = [0] * (_STEPS + 1)
        self._total = 0
        #: Of twenty items, nineteen took no longer than so many seconds; 0 if nothing is known.
        self.p95 = 0.0
        if not saved:
            return  # as in every short run
        for step, items in saved:
            self._counts[min(max(0, step), _STEPS)] += items
        self._total = sum(self._counts)
        self.p95 = self._percentile()

    @property
    def need(self) -> float:
        """What to reckon with for the next item, in seconds; 0 where it is not worth knowing."""
        return self.p95 if self.p95 >= WORTH else 0.0

    def add(self, seconds: float, items: int = 1) -> None:
        """So many items took so long each."""
        items = min(items, _MOST)
        self._counts[_step(seconds)] += items
        self._total += items
        while self._total > _MOST:
            self._counts = [_half(count) for count in self._counts]
            self._total = sum(self._counts)
        self.p95 = self._percentile()

    def scale(self, factor: float) -> None:
        """Items are of another size from now on, and take so many times as long."""
        scaled = Pace()
        for step, items in enumerate(self._counts):
            if items:
                scaled._counts[_step(_seconds(step) * factor)] += items
        self._counts = scaled._counts
        self.p95 = self._percentile()

    def saved(self) -> Saved:
        """The history, small; empty where it is not worth knowing."""
        if not self.need:
            return ()
        return tuple((step, items) for step, items in enumerate(self._counts) if items)

    def _percentile(self) -> float:
        if not self._total:
            return 0.0
        left = self._total - math.ceil(_PERCENTILE * self._total)
        for step in range(_STEPS, -1, -1):
            left -= self._counts[step]
            if left < 0:
                return _seconds(step)
        return 0.0


def _half(count: int) -> int:
    """Rounded up: a few long items are what matters."""
    return (count + 1) // 2


def _step(seconds: float) -> int:
    if seconds <= _LEAST:
        return 0
    # Not a step too high for what was exactly on one.
    return min(_STEPS, math.ceil(math.log(seconds / _LEAST, _STEP) - 1e-9))


def _seconds(step: int) -> float:
    return _LEAST * float(_STEP**step)


def fewer(size: int, p95: float, most: float) -> bool:
    """Whether batches of ``size`` that take ``p95`` seconds are to become smaller.

    Args:
        size: items per batch.
        p95: as :attr:`Pace.p95` of batches.
        most: what a batch may take, in seconds.
    """
    return size > 1 and p95 > most


def more(size: int, wanted: int, p95: float, most: float, seen: int) -> bool:
    """Whether they may become larger, after ``seen`` batches of this size."""
    return size < wanted and seen >= _PROVEN and p95 < _SHORT * most

"""Counting what was done in the last seconds before a moment, whatever stood still meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable

#: A pause between two items counts as so many seconds at most: for the rest of it the process was
#: not let run, and could not save either.
STANDSTILL = 0.1


def _between(since: float, until: float) -> float:
    return until - since


def done_in(
    seconds: float,
    before: float,
    times: Iterable[float],
    between: Callable[[float, float], float] = _between,
) -> int:
    """How many of ``times`` are in the ``seconds`` before a moment.

    Args:
        seconds: what the pauses between them may come to.
        before: the moment, in the same clock's seconds.
        times: when items were done.
        between: what counts of the time from one moment to a later one.
    """
    found, moment = 0, before
    for at in sorted((at for at in times if at <= before), reverse=True):
        seconds -= min(between(at, moment), STANDSTILL)
        if seconds < 0:
            break
        found, moment = found + 1, at
    return found

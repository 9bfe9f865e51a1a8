"""When a stopping worker is killed, when it ends what still runs, and how long that may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

#: The part of the grace period that a hand-over gets, and its bounds in seconds.
PART, LEAST, MOST = 0.2, 2.5, 10.0
#: The part of the time between the cut and the kill in which a task may end by itself.
OWN_PART = 0.4
#: The same where no kill is known of, in seconds.
OWN_TIME = 10.0


def margin_of(seconds: float) -> float:
    """How long before the kill a worker with this grace period cuts its tasks off, in seconds."""
    return min(seconds, max(LEAST, min(MOST, PART * seconds)))


def own_end(cut: float, deadline: float | None) -> float:
    """Until when a task that is cut off may end by itself.

    Args:
        cut: when it is cut off.
        deadline: when the worker is killed, on the same clock; ``None``: nobody knows.
    """
    return cut + (OWN_TIME if deadline is None else max(0.0, OWN_PART * (deadline - cut)))


@dataclass(frozen=True, slots=True)
class Grace:
    """How long a worker has from the stop signal to SIGKILL.

    Args:
        seconds: the grace period.
        margin: how long before its end the worker cuts off what still runs, in seconds.
        source: who says so, for people: ``"graceful_grace_period"``, ``"systemd"``, ….
        learnt: whether it was asked for, and nobody wrote it down for this worker. Then only
            iterable tasks are cut off: what a plain one could do by itself with all of its time, a
            package must not take from it unasked.
    """

    seconds: float
    margin: float
    source: str
    learnt: bool = False

    @property
    def for_tasks(self) -> float:
        """How long tasks have from the stop signal until they are cut off, in seconds."""
        return max(0.0, self.seconds - self.margin)


class Period(NamedTuple):
    """A grace period, and who said so."""

    #: Infinite where the manager never kills.
    seconds: float
    source: str


class Silent(Exception):
    """A manager is there, and does not answer."""

"""When a stopping worker is killed, and when it ends what still runs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Grace", "margin_of"]

#: The part of the grace period that a hand-over gets, and its bounds in seconds.
PART, LEAST, MOST = 0.2, 2.5, 10.0


def margin_of(seconds: float) -> float:
    """How long before the kill a worker with this grace period cuts its tasks off, in seconds."""
    return min(seconds, max(LEAST, min(MOST, PART * seconds)))


@dataclass(frozen=True, slots=True)
class Grace:
    """How long a worker has from the stop signal to SIGKILL.

    Args:
        seconds: the grace period.
        margin: how long before its end the worker cuts off what still runs, in seconds.
        source: who says so, for people: ``"graceful_grace_period"``, ``"systemd"``, ….
    """

    seconds: float
    margin: float
    source: str

    @property
    def for_tasks(self) -> float:
        """How long tasks have from the stop signal until they are cut off, in seconds."""
        return max(0.0, self.seconds - self.margin)

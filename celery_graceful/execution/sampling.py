"""How long items take, told from where the loop stands at each tick: no clock runs per item."""

from __future__ import annotations

from celery_graceful.model.run.pace import Pace


class Sampler:
    """Turns positions of a loop into durations of items.

    An item that lasts for several looks is seen by itself, as exactly as looks are frequent; of
    many that pass between two looks only the average is known.

    Args:
        pace: where durations go.
    """

    def __init__(self, pace: Pace) -> None:
        #: Where durations go.
        self.pace = pace
        self._begun: int | None = None
        #: When the item under way was seen first, and last.
        self._first = self._last = 0.0

    def observe(self, now: float, begun: int | None) -> None:
        """The loop has begun its ``begun``-th item at ``now`` (monotonic seconds).

        ``None``: it stands still between two items.
        """
        before, self._begun = self._begun, begun or None
        if not begun or before is None or begun < before:
            if before is not None and not begun:
                self.pace.add(now - self._first)
            self._first = self._last = now
        elif begun == before:
            self._last = now
        else:
            self._ended(now, begun - before)
            self._first = self._last = now

    def age(self, now: float) -> float:
        """How long the item under way has lasted, in seconds."""
        return now - self._first if self._begun is not None else 0.0

    def _ended(self, now: float, items: int) -> None:
        each = (now - self._last) / items
        self.pace.add(self._last - self._first + each)
        if items > 1:
            self.pace.add(each, items - 1)

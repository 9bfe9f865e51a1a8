"""How long tasks take, seen from looks every few seconds: no clock is read for each task."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

#: Durations kept for each task, and tasks kept.
SAMPLES, MOST_TASKS = 20, 500


class History:
    """The durations of tasks that were seen to end.

    What ended between two looks lasted as long as at the first of them at least. Short tasks are
    hardly ever seen; nobody waits for them.
    """

    def __init__(self) -> None:
        self._running: dict[str, tuple[str, float]] = {}
        self._durations: dict[str, deque[float]] = {}

    def look(self, running: Iterable[tuple[str, str, float]]) -> None:
        """Note what runs now: task, id, and seconds since it began."""
        now = {task_id: (task, seconds) for task, task_id, seconds in running}
        for task_id, (task, seconds) in self._running.items():
            if task_id not in now and seconds > 0:
                self._note(task, seconds)
        self._running = now

    def longest(self) -> Mapping[str, float]:
        """The longest of the last durations of each task, in seconds."""
        return {task: round(max(durations), 1) for task, durations in self._durations.items()}

    def _note(self, task: str, seconds: float) -> None:
        if task not in self._durations and len(self._durations) >= MOST_TASKS:
            self._durations.pop(next(iter(self._durations)))
        self._durations.setdefault(task, deque(maxlen=SAMPLES)).append(seconds)

"""The notice board, in the memory of one process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from celery_graceful.stores.board import Attendance, Notice


class _Report(NamedTuple):
    text: str
    written_at: float
    expires_at: float


class MemoryBoard:
    """Notices and reports in dictionaries.

    Args:
        clock: The store's time, in seconds.
        locked: The store's lock, to be held by each call.
    """

    def __init__(
        self, clock: Callable[[], float], locked: Callable[[], AbstractContextManager[object]]
    ) -> None:
        self._clock = clock
        self._locked = locked
        self._notices: dict[str, tuple[int, str]] = {}
        self._reports: dict[str, _Report] = {}

    def read_notice(self, name: str) -> Notice:
        """The notice of this name."""
        with self._locked():
            return self._notice(name)

    def post_notice(
        self, name: str, expected: int, text: str, *, version: int | None = None
    ) -> Notice | None:
        """Replace a notice of the version ``expected``."""
        with self._locked():
            if self._notice(name).version != expected:
                return None
            self._notices[name] = version or expected + 1, text
            return self._notice(name)

    def attend(self, worker: str, report: str, *, keep: float, notice: str, known: int) -> Notice:
        """Write a report, then read a notice."""
        with self._locked():
            now = self._clock()
            self._reports[worker] = _Report(report, now, now + keep)
            self._forget(now)
            there = self._notice(notice)
            return there._replace(text="") if there.version == known else there

    def attendance(self) -> list[Attendance]:
        """The reports, by the name of the worker."""
        with self._locked():
            now = self._clock()
            self._forget(now)
            return [
                Attendance(worker, report.text, now - report.written_at)
                for worker, report in sorted(self._reports.items())
            ]

    def leave(self, worker: str) -> None:
        """Forget a report."""
        with self._locked():
            self._reports.pop(worker, None)

    def _notice(self, name: str) -> Notice:
        return Notice(*self._notices.get(name, (0, "")), self._clock())

    def _forget(self, now: float) -> None:
        for worker in [worker for worker, it in self._reports.items() if it.expires_at <= now]:
            del self._reports[worker]

"""Slows down those who guess passwords."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

#: Failures in a row that cost nothing: people mistype.
_FREE = 3
#: Seconds to wait at most: one who guesses must not shut out the one who knows.
_LONGEST = 30.0
#: Names and addresses that are remembered.
_MOST = 10_000


class Attempts:
    """Failed attempts by user and by address: each failure beyond three doubles the wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        #: Failures in a row, and when the last one was.
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, *keys: str) -> float:
        """Seconds until the next attempt is looked at; 0: now."""
        now = self._clock()
        with self._lock:
            return max(0.0, *(self._until(key) - now for key in keys))

    def failed(self, *keys: str) -> None:
        """Remember a failure."""
        with self._lock:
            for key in keys:
                count, _ = self._failures.pop(key, (0, 0.0))
                self._failures[key] = (count + 1, self._clock())
            while len(self._failures) > _MOST:
                self._failures.popitem(last=False)

    def succeeded(self, *keys: str) -> None:
        """Forget the failures."""
        with self._lock:
            for key in keys:
                self._failures.pop(key, None)

    def _until(self, key: str) -> float:
        count, last = self._failures.get(key, (0, 0.0))
        if count < _FREE:
            return 0.0
        return last + min(_LONGEST, 2.0 ** (count - _FREE))

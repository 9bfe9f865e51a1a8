"""What was read from the store lately: one reading for all viewers."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar, cast

T = TypeVar("T")

#: Readings that are kept; each filter of a listing has its own.
_MOST = 256


@dataclass(slots=True)
class _Reading:
    """One value, or the error in its place, and until when it is good enough."""

    lock: Lock = field(default_factory=Lock)
    good_until: float = float("-inf")
    value: Any = None
    error: Exception | None = None


class Snapshots:
    """Values that were read lately, shared by all threads.

    While one thread reads, those that want the same wait for it. An error is shared as well: a
    store that is away is not asked more often than one that answers.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._readings: OrderedDict[Hashable, _Reading] = OrderedDict()

    def get(self, key: Hashable, seconds: float, read: Callable[[], T]) -> T:
        """The value under ``key``, read by ``read`` if the last reading is older than ``seconds``.

        Raises:
            Exception: what ``read`` raised, then or just before.
        """
        reading = self._reading(key)
        with reading.lock:
            if self._clock() >= reading.good_until:
                self._read(reading, seconds, read)
            if reading.error is not None:
                raise reading.error
            return cast("T", reading.value)

    def forget(self) -> None:
        """Read everything anew: something was changed."""
        with self._lock:
            self._readings.clear()

    def _reading(self, key: Hashable) -> _Reading:
        with self._lock:
            reading = self._readings.setdefault(key, _Reading())
            self._readings.move_to_end(key)
            while len(self._readings) > _MOST:
                self._readings.popitem(last=False)
            return reading

    def _read(self, reading: _Reading, seconds: float, read: Callable[[], Any]) -> None:
        reading.value = reading.error = None
        try:
            reading.value = read()
        except Exception as exc:  # raised by get(), to each who asks
            reading.error = exc
        reading.good_until = self._clock() + seconds

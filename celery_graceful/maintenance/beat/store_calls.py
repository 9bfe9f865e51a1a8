"""The board as beat asks it: a store that is away must not hold up the schedule."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from celery_graceful.errors import StoreUnavailable
from celery_graceful.stores.board import Board

#: How long a store that did not answer is left alone, in seconds.
RESPITE = 5.0

T = TypeVar("T")
Clock = Callable[[], float]


class BeatBoard:
    """Asks the board, but not again at once when it did not answer."""

    def __init__(self, board: Board, clock: Clock = time.monotonic) -> None:
        self._board = board
        self._clock = clock
        self._not_before = float("-inf")
        self._asking = False

    @property
    def asking(self) -> bool:
        """Whether a call is under way: a signal's handler must not make another."""
        return self._asking

    def ask(self, question: Callable[[Board], T]) -> T:
        """What ``question`` returns.

        Raises:
            StoreError: the store did not answer, or not long ago; or what it holds is unreadable.
        """
        if self._clock() < self._not_before:
            raise StoreUnavailable("The store did not answer a moment ago")
        self._asking = True
        try:
            return question(self._board)
        except StoreUnavailable:
            self._not_before = self._clock() + RESPITE
            raise
        finally:
            self._asking = False

    def insist(self) -> None:
        """Ask the next time in any case."""
        self._not_before = float("-inf")

"""The maintenance mode as beat knows it: read now and then, kept while the store is unavailable."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import TypeVar

from celery_graceful.errors import StoreError, StoreUnavailable
from celery_graceful.maintenance.mode_changes import NOTICE
from celery_graceful.model.maintenance.held import NOTHING, Held, held_by
from celery_graceful.model.maintenance.mode import Mode, is_older, without_ended
from celery_graceful.model.maintenance.mode_text import decode_mode
from celery_graceful.stores.base import NOTICES, Store

#: How long a store that did not answer is left alone, in seconds.
RESPITE = 5.0

T = TypeVar("T")
Clock = Callable[[], float]


class BeatBoard:
    """Asks the board, but not again at once when it did not answer."""

    def __init__(self, board: Store, clock: Clock = time.monotonic) -> None:
        self._board = board
        self._clock = clock
        self._not_before = float("-inf")
        self._asking = False

    @property
    def asking(self) -> bool:
        """Whether a call is under way: a signal's handler must not make another."""
        return self._asking

    def ask(self, question: Callable[[Store], T]) -> T:
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


logger = logging.getLogger("celery_graceful.beat")

#: The mode is read once in so many seconds at most.
INTERVAL = 1.0


class BeatMode:
    """What is held from beat's point of view.

    Args:
        board: where the mode is.
        exempt: queues that go on.
        clock: monotonic seconds.
    """

    def __init__(
        self, board: BeatBoard, exempt: Collection[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._board = board
        self._exempt = frozenset(exempt)
        self._clock = clock
        self._read_at = float("-inf")
        self._mode: Mode | None = None
        self._vanished = False
        self._store_ahead = 0.0
        self._away = False

    @property
    def known(self) -> bool:
        """Whether the mode was read at least once."""
        return self._mode is not None

    def look(self) -> Held:
        """What is held now; nothing while the mode has never been read."""
        if self._clock() >= self._read_at + INTERVAL:
            self._read_at = self._clock()
            self._read()
        return held_by(self._current(), self._exempt) if self._mode else NOTHING

    def describe(self) -> str:
        """What is down, by whom and why."""
        holds = self._current().holds if self._mode else ()
        return "; ".join(
            f"{hold.scope}, by {hold.who}{f': {hold.reason}' if hold.reason else ''}"
            for hold in holds
        )

    def _current(self) -> Mode:
        assert self._mode is not None
        return without_ended(self._mode, self._clock() + self._store_ahead)

    def _read(self) -> None:
        try:
            found, now = self._board.ask(_mode)
        except StoreError as exc:
            self._say_away(exc)
            return
        if self._mode is None or not is_older(found, self._mode):
            self._mode, self._vanished = found, False
        elif not self._vanished:
            self._vanished = True
            logger.warning(
                "The maintenance mode has vanished from the store; beat keeps to the last it knows"
                " (%s) until a worker has written it back",
                self.describe() or "nothing is down",
            )
        self._store_ahead = now - self._clock()
        if self._away:
            logger.info("The maintenance mode can be read again")
        self._away = False

    def _say_away(self, exc: StoreError) -> None:
        if self._away:
            return
        self._away = True
        if self._mode is None:
            logger.warning(
                "The maintenance mode cannot be read and was never known: beat sends its entries,"
                " which wait in their queues if it is down. %s",
                exc,
            )
        else:
            logger.warning(
                "The maintenance mode cannot be read; beat keeps to the last it knows (%s). %s",
                self.describe() or "nothing is down",
                exc,
            )


def _mode(store: Store) -> tuple[Mode, float]:
    notice = store.read_text(NOTICES, NOTICE)
    return decode_mode(notice.text, notice.version), notice.now

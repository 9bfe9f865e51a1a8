"""The store and the maintenance mode as beat uses them: an outage must not hold up the schedule."""

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

T = TypeVar("T")
Clock = Callable[[], float]

logger = logging.getLogger("celery_graceful.beat")

#: Seconds until a store that did not answer is asked again.
RESPITE = 5.0
#: Seconds between two readings of the mode.
INTERVAL = 1.0


class BeatBoard:
    """Asks the store, but not again at once when it did not answer."""

    def __init__(self, board: Store, clock: Clock = time.monotonic) -> None:
        self._board = board
        self._clock = clock
        self._not_before = float("-inf")
        #: Whether a call is in progress: a signal's handler must not make another.
        self.asking = False

    def ask(self, question: Callable[[Store], T]) -> T:
        """What ``question`` returns.

        Raises:
            StoreError: the store did not answer, or not long ago; or what it holds is unreadable.
        """
        if self._clock() < self._not_before:
            raise StoreUnavailable("The store did not answer a moment ago")
        self.asking = True
        try:
            return question(self._board)
        except StoreUnavailable:
            self._not_before = self._clock() + RESPITE
            raise
        finally:
            self.asking = False

    def insist(self) -> None:
        """Ask the next time in any case."""
        self._not_before = float("-inf")


class BeatMode:
    """What is held for beat; the mode last known stays in force while the store is unavailable.

    Args:
        board: where the mode is.
        exempt: queues that are never held.
        clock: monotonic seconds.
    """

    def __init__(
        self, board: BeatBoard, exempt: Collection[str], clock: Clock = time.monotonic
    ) -> None:
        self._board = board
        self._exempt = frozenset(exempt)
        self._clock = clock
        self._read_at = float("-inf")
        self._mode: Mode | None = None
        self._vanished = False
        self._store_ahead = 0.0
        self._unavailable = False

    @property
    def known(self) -> bool:
        """Whether the mode was read at least once."""
        return self._mode is not None

    def held(self) -> Held:
        """What is held now; nothing while the mode has never been read."""
        if self._clock() >= self._read_at + INTERVAL:
            self._read_at = self._clock()
            self._read()
        return held_by(self._current(), self._exempt) if self.known else NOTHING

    def __str__(self) -> str:
        return str(self._current())

    def _current(self) -> Mode:
        return without_ended(self._mode or Mode(), self._clock() + self._store_ahead)

    def _read(self) -> None:
        try:
            notice = self._board.ask(lambda store: store.read_text(NOTICES, NOTICE))
            found = decode_mode(notice.text, notice.version)
        except StoreError as exc:
            self._log_unavailable(exc)
            return
        if self._mode is None or not is_older(found, self._mode):
            self._mode, self._vanished = found, False
        elif not self._vanished:
            self._vanished = True
            logger.warning(
                "The maintenance mode has vanished from the store; beat uses the last it knows"
                " (held: %s) until a worker has written it back",
                self,
            )
        self._store_ahead = notice.now - self._clock()
        if self._unavailable:
            logger.info("The maintenance mode can be read again")
        self._unavailable = False

    def _log_unavailable(self, exc: StoreError) -> None:
        if self._unavailable:
            return
        self._unavailable = True
        uses = "was never known: beat sends its entries, which wait in their queues if it is down"
        if self.known:
            uses = f"cannot be read; beat uses the last it knows (held: {self})"
        logger.warning("The maintenance mode %s. %s", uses, exc)

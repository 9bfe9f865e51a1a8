"""A thread of the main process that does its rounds, whatever the store does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from celery_graceful._celery.threads.django_databases import close_stale_connections
from celery_graceful._celery.threads.native import native_sleep, start_native_thread
from celery_graceful.errors import StoreError, StoreUnavailable
from celery_graceful.stores.base import Store

logger = logging.getLogger("celery_graceful.worker")

_POLL = 0.05


def _nothing() -> None:
    pass


class Rounds:
    """Calls ``round_(store, now)`` again and again, in a real thread, until it is asked to stop.

    Errors of the store are logged once, until a round succeeds; no error ends the thread.

    Args:
        round_: what is to be done; ``now`` is in monotonic seconds.
        store: one that no other thread uses; closed at the end.
        every: seconds between two rounds.
        retry: seconds until the next round after one that failed.
        on_trouble: called after each round that failed.
    """

    def __init__(
        self,
        round_: Callable[[Store, float], None],
        store: Store,
        *,
        every: float = 0.0,
        retry: float,
        on_trouble: Callable[[], None] = _nothing,
    ) -> None:
        self._round = round_
        self._store = store
        self._every = every
        self._retry = retry
        self._on_trouble = on_trouble
        self._logged = ""
        self._stopping = False

    def start(self) -> None:
        """Begin."""
        start_native_thread(self._run)

    def stop(self) -> None:
        """End at the next look, up to a twentieth of a second later."""
        self._stopping = True

    def _run(self) -> None:
        due = 0.0
        while not self._stopping:
            now = time.monotonic()
            if now >= due:
                due = now + (self._every if self._go_round(now) else self._retry)
                close_stale_connections()  # of receivers of signals, and of django-db
            native_sleep(_POLL)
        self._store.close()

    def _go_round(self, now: float) -> bool:
        try:
            self._round(self._store, now)
        except StoreUnavailable as exc:
            self._tell("Runs can neither be admitted nor saved, trying again: %s", exc)
        except StoreError as exc:
            self._tell("Runs can neither be admitted nor saved: %s", exc)
        except Exception as exc:
            if self._logged != repr(exc):
                logger.exception("The lease renewer of runs met an error and continues")
            self._logged = repr(exc)
        else:
            self._logged = ""
            return True
        self._on_trouble()
        return False

    def _tell(self, message: str, exc: StoreError) -> None:
        # By its kind: texts differ from one attempt to the next.
        if self._logged != type(exc).__name__:
            logger.error(message, exc)
        self._logged = type(exc).__name__

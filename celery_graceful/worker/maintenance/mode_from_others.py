"""A worker that cannot use the store learns the maintenance mode from other workers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from kombu.exceptions import OperationalError

from celery_graceful._celery.threads.native import native_lock, start_native_thread
from celery_graceful.maintenance.broker_replies import LONG_QUIET, QUIET
from celery_graceful.maintenance.peers import ask_peers, newest_mode
from celery_graceful.model.maintenance.mode import Mode

logger = logging.getLogger("celery_graceful.maintenance")


class ModeFromOthers:
    """Asks over the broker.

    Args:
        app: the Celery app.
        namespace: its namespace.
        own: the node name of this worker.
        learn: told of a mode; an older one than is known changes nothing.
        every: seconds between two questions; one more for each worker that answers, since all
            may ask.
    """

    def __init__(
        self,
        app: Any,
        namespace: str,
        own: str,
        learn: Callable[[Mode], None],
        every: float,
    ) -> None:
        self._app = app
        self._namespace = namespace
        self._own = own
        self._learn = learn
        self._busy = native_lock()
        self._every = every
        self._next = time.monotonic() + every

    def at_start(self) -> None:
        """Before anything is consumed; waits for the answers."""
        try:
            found = self._ask(LONG_QUIET)
        except OperationalError as exc:
            found, why = None, f"no other worker could be asked ({exc})"
        else:
            why = "no other worker answered with one"
        if found is not None:
            mode, who = found
            logger.warning("The maintenance mode is known from %s (version %d)", who, mode.version)
            return
        logger.warning(
            "No maintenance mode is known: the store cannot be used, and %s. This worker runs as if"
            ' nothing were down; with graceful_without_store = "pause" it would wait for the store',
            why,
        )

    def now_and_then(self, now: float) -> None:
        """Ask again if it is time; called every few seconds while the store cannot be used.

        Args:
            now: in monotonic seconds.
        """
        if now >= self._next and self._busy.acquire(False):
            start_native_thread(self._ask_again)

    def _ask_again(self) -> None:
        try:
            self._ask(QUIET)
        except Exception as exc:
            logger.debug("No other worker could be asked for the maintenance mode: %s", exc)
        finally:
            self._busy.release()

    def _ask(self, quiet: float) -> tuple[Mode, str] | None:
        peers = ask_peers(self._app, self._namespace, self._own, quiet=quiet)
        self._next = time.monotonic() + self._every + len(peers)
        found = newest_mode(peers)
        if found is not None:
            self._learn(found[0])
        return found

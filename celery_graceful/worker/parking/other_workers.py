"""A worker on which no run can start asks those on which runs can, to run what it has parked."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery_graceful._celery.threads.native import native_lock, native_sleep, start_native_thread
from celery_graceful.maintenance.broker_replies import QUIET
from celery_graceful.maintenance.peers import ask_peers, send_back

logger = logging.getLogger("celery_graceful.runs")

#: Seconds from parking to asking; doubled while nobody answers who can run them.
FIRST, LONGEST = 2.0, 60.0


class AskingOthers:
    """Asks over the broker, in a thread that lives while it is needed.

    Args:
        app: the Celery app.
        namespace: its namespace.
        own: the node name of this worker.
        needed: whether this worker cannot send back by itself what it has parked.
    """

    def __init__(self, app: Any, namespace: str, own: str, needed: Callable[[], bool]) -> None:
        self._app = app
        self._namespace = namespace
        self._own = own
        self._needed = needed
        self._asked = True
        self._busy = native_lock()

    def soon(self) -> None:
        """Messages were parked. Any thread."""
        self._asked = False
        if self._busy.acquire(False):
            start_native_thread(self._run)

    def _run(self) -> None:
        pause = FIRST
        try:
            while not self._asked and self._needed():
                native_sleep(pause)
                self._asked = True
                if not self._ask():
                    self._asked, pause = False, min(2 * pause, LONGEST)
        finally:
            self._busy.release()

    def _ask(self) -> bool:
        """Whether anybody will send them back."""
        try:
            peers = ask_peers(self._app, self._namespace, self._own, quiet=QUIET)
            hosts = send_back(self._app, self._namespace, peers)
        except Exception as exc:
            logger.debug("No other worker could be asked to run what waits: %s", exc)
            return False
        if hosts:
            logger.info("Asked to run what waits here: %s", ", ".join(hosts))
        return bool(hosts)

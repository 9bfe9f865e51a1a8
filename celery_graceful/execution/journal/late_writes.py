"""Writes that wait for a store that is away, so that the task's slot does not."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable

logger = logging.getLogger("celery_graceful.runs")


def can_be_late() -> bool:
    """Whether another thread may use the store: under gevent a connection is of its thread."""
    return "gevent" not in sys.modules


class LateWrites:
    """Writes of this process, done one after the other in a thread that waits for the store.

    Args:
        thread_name: names the thread, which is there only while there is something to write.
    """

    def __init__(self, thread_name: str) -> None:
        self._thread_name = thread_name
        self._lock = threading.Lock()
        self._left: list[tuple[str, Callable[[], object]]] = []
        self._thread: threading.Thread | None = None

    def add(self, what: str, write: Callable[[], object]) -> None:
        """Do ``write`` after those before it.

        Args:
            what: begins the line that is logged if it fails: "shop.reindex[7f3a] is done".
            write: waits for the store itself.
        """
        with self._lock:
            self._left.append((what, write))
            if len(self._left) == 1:
                self._thread = threading.Thread(
                    target=self._write_all, name=self._thread_name, daemon=True
                )
                self._thread.start()

    def wait(self) -> None:
        """Wait until all are done."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _write_all(self) -> None:
        while True:
            what, write = self._left[0]
            try:
                write()
            except Exception as exc:  # the next one may be accepted
                logger.error("%s, but the store does not know: %r", what, exc)
            with self._lock:
                self._left.pop(0)
                if not self._left:
                    return

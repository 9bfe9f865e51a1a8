"""Ending a worker's process while its threads still work."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

from celery.platforms import EX_OK

from celery_graceful._celery.threads.native import native_sleep, start_native_thread

logger = logging.getLogger("celery_graceful.worker")

#: How long the broker may take to say goodbye, in seconds.
FAREWELL = 0.5
#: How long a process may take for what it does in its last moment, in seconds.
MOMENT = 0.3


def leave_now(worker: Any) -> NoReturn:
    """End this process, whatever its threads or greenlets are at.

    The connection is closed properly: of one that is cut with something unread in it, the broker
    may drop what was sent last, and with it the messages that were given back.
    """
    start_native_thread(partial(_leave_after, FAREWELL))
    try:
        connection = getattr(worker.consumer, "connection", None)
        if connection is not None:
            connection.close()
        if worker.pidlock:
            worker.pidlock.release()
        logging.shutdown()
    finally:
        os._exit(EX_OK)


@contextmanager
def leave_anyway() -> Iterator[None]:
    """End this process after the block, or while it runs, should it take longer than a moment."""
    start_native_thread(partial(_leave_after, MOMENT))
    try:
        yield
    except Exception:
        logger.exception("The worker's end met an error")
    finally:
        os._exit(EX_OK)


def _leave_after(seconds: float) -> None:
    native_sleep(seconds)
    os._exit(EX_OK)

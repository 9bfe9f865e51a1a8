"""Runs whose outcome Celery has stored while the store was away: their end is saved later.

The task's slot does not wait for that. Until then nobody else takes such a run over: rescuers wait
until the store has answered for a whole lease.
"""

from __future__ import annotations

import logging
import sys
import threading

from celery_graceful.errors import StoreError, StoreUnavailable
from celery_graceful.execution import ending
from celery_graceful.execution.owned import OwnedRun
from celery_graceful.model.run.record import Outcome

logger = logging.getLogger("celery_graceful.runs")

#: Seconds for which the slot waits, so that a lost connection alone starts no thread.
PATIENCE = 1.0

_lock = threading.Lock()
_left: list[tuple[OwnedRun, Outcome]] = []
_thread: threading.Thread | None = None


def close(run: OwnedRun, outcome: Outcome) -> None:
    """Tell the store that the run has ended: now, or as soon as it answers.

    Raises:
        StoreError: the store refuses.
    """
    if not _may_wait(run):
        ending.close(run, outcome)
        return
    patience = run.ticket.patience
    run.ticket.patience = PATIENCE
    try:
        ending.close(run, outcome)
    except StoreUnavailable as exc:
        logger.warning("%s has ended; that is saved when the store answers again: %s", run.key, exc)
        run.ticket.patience = patience
        _later(run, outcome)


def wait_for_all() -> None:
    """The process ends: wait as long as an execution would."""
    thread = _thread
    if thread is not None:
        thread.join()


def _may_wait(run: OwnedRun) -> bool:
    # The row of an atomic run is removed on the task's own connection; under gevent a connection
    # belongs to the thread that opened it.
    return run.task.atomic is None and "gevent" not in sys.modules


def _later(run: OwnedRun, outcome: Outcome) -> None:
    global _thread
    with _lock:
        _left.append((run, outcome))
        if len(_left) == 1:
            _thread = threading.Thread(target=_close_all, name="graceful-late-ends", daemon=True)
            _thread.start()


def _close_all() -> None:
    while True:
        run, outcome = _left[0]
        try:
            ending.close(run, outcome)
        except StoreError as exc:
            logger.error("%s is done, but the store does not know: %s", run.key, exc)
        except Exception:
            logger.exception("%s is done, but the store does not know", run.key)
        with _lock:
            _left.pop(0)
            if not _left:
                return

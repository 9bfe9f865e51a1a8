"""Runs whose outcome Celery has stored while the store was away: it hears of their end later.

The task's slot does not wait for that. Until then nobody else takes such a run over: rescuers wait
until the store has answered for a whole lease.
"""

from __future__ import annotations

import logging
import sys
import threading

from celery_graceful.errors import StoreError, StoreUnavailable
from celery_graceful.execution import ending
from celery_graceful.execution.owned import OwnedExecution
from celery_graceful.model.run.record import Outcome

logger = logging.getLogger("celery_graceful.runs")

#: Seconds for which the slot waits, lest a lost connection make a thread.
PATIENCE = 1.0

_lock = threading.Lock()
_left: list[tuple[OwnedExecution, Outcome]] = []
_thread: threading.Thread | None = None


def close(execution: OwnedExecution, outcome: Outcome) -> None:
    """Tell the store that the run has ended: now, or as soon as it answers.

    Raises:
        StoreError: the store refuses.
    """
    if not _may_wait(execution):
        ending.close(execution, outcome)
        return
    patience = execution.ticket.patience
    execution.ticket.patience = PATIENCE
    try:
        ending.close(execution, outcome)
    except StoreUnavailable as exc:
        logger.warning("%s has ended; the store hears of it later: %s", execution.ticket.run, exc)
        execution.ticket.patience = patience
        _later(execution, outcome)


def wait_for_all() -> None:
    """The process ends: wait as long as an execution would."""
    thread = _thread
    if thread is not None:
        thread.join()


def _may_wait(execution: OwnedExecution) -> bool:
    # The row of an atomic run is removed on the task's own connection; under gevent a connection
    # belongs to the thread that opened it.
    return execution.task.atomic is None and "gevent" not in sys.modules


def _later(execution: OwnedExecution, outcome: Outcome) -> None:
    global _thread
    with _lock:
        _left.append((execution, outcome))
        if len(_left) == 1:
            _thread = threading.Thread(target=_close_all, name="graceful-late-ends", daemon=True)
            _thread.start()


def _close_all() -> None:
    while True:
        execution, outcome = _left[0]
        try:
            ending.close(execution, outcome)
        except StoreError as exc:
            logger.error("%s is done, but the store does not know: %s", execution.ticket.run, exc)
        except Exception:
            logger.exception("%s is done, but the store does not know", execution.ticket.run)
        with _lock:
            _left.pop(0)
            if not _left:
                return

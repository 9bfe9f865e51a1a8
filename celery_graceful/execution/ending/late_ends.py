"""Runs whose outcome Celery has stored while the store was away: their end is saved later.

The task's slot does not wait for that. Until then nobody else takes such a run over: rescuers wait
until the store has answered for a whole lease.
"""

from __future__ import annotations

import logging
from functools import partial

from celery_graceful.errors import StoreUnavailable
from celery_graceful.execution import ending
from celery_graceful.execution.journal.late_writes import LateWrites, can_be_late
from celery_graceful.execution.owned import OwnedRun
from celery_graceful.model.run.record import Outcome

logger = logging.getLogger("celery_graceful.runs")

#: Seconds for which the slot waits, so that a lost connection alone starts no thread.
PATIENCE = 1.0

_ends = LateWrites("graceful-late-ends")


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
        _ends.add(f"{run.key} is done", partial(ending.close, run, outcome))


def wait_for_all() -> None:
    """The process ends: wait as long as an execution would."""
    _ends.wait()


def _may_wait(run: OwnedRun) -> bool:
    # The row of an atomic run is removed on the task's own connection.
    return run.task.atomic is None and can_be_late()

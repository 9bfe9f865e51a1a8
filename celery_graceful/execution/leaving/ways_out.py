"""The ways in which an execution lets go of its run."""

from __future__ import annotations

import logging
import time
from typing import Any, NoReturn

from celery.utils.saferepr import saferepr

from celery_graceful import signals
from celery_graceful._celery.task.delivery import (
    ExecutionLeft,
    Left,
    Stores,
    delivery_of,
    limit_stores,
)
from celery_graceful.errors import StoreError
from celery_graceful.execution import results
from celery_graceful.execution.owned import OwnedRun
from celery_graceful.execution.quarantine.replay import replay_of
from celery_graceful.model.run.cursor import encode
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.model.run.record import Outcome
from celery_graceful.text.counting import counted

logger = logging.getLogger("celery_graceful.runs")


def drop_lost_run(run: OwnedRun) -> NoReturn:
    """The run is no longer this execution's: end without a trace."""
    run.left = True
    limit_stores(run.request, Stores.NONE)
    refused = run.ticket.refused
    log(
        logging.WARNING,
        run,
        "is no longer owned here (%s); this execution ends without a trace",
        refused,
    )
    raise Left(f"the run is no longer owned here: {refused}")


def end_by_operator(run: OwnedRun) -> NoReturn:
    """An operator or ``revoke`` ended or paused the run: no successor is sent."""
    record = run.ticket.record
    limit_stores(run.request, Stores.NONE)
    if record.outcome is not None:
        run.execution.work.forget()
        forget_replayed(run)
    if record.outcome is Outcome.CANCELLED:
        limit_stores(run.request, Stores.REVOKED)
        results.store_revoked(run.task, run.request)
        signals.emit(signals.run_cancelled, run.task, **run.execution.details)
    how = str(record.outcome or record.state)
    if record.paused_at and record.paused_at == record.steps:
        how = record.reason
    log(logging.INFO, run, "ends here: the run is %s%s", how, lasted(run))
    raise Left(how)


def forget_replayed(run: OwnedRun) -> None:
    """What a replay has done is saved for good: take it off the other run's list."""
    again = replay_of(run)
    if again is not None:
        again.forget_done()


def return_message(run: OwnedRun, what: str, exc: StoreError) -> NoReturn:
    """The store refuses what became of the execution: its message returns to the broker."""
    run.left = True
    log(
        logging.ERROR,
        run,
        "%s and could not save it: items after the last saved checkpoint run again: %s",
        what,
        exc,
    )
    raise ExecutionLeft(str(exc), run.ticket.fence) from exc


def release_at_kill(run: OwnedRun) -> None:
    """The process is killed soon: release the lease, so that the message may return."""
    if run.left:
        return
    execution = run.execution
    try:
        execution.work.undo()
        run.ticket.hand_over(
            encode(execution.checkpoint),
            execution.steps,
            StopReason.SHUTDOWN,
            successor=False,
            patience=0.0,
        )
    except Exception as exc:  # whoever ends the process must not wait, nor take this for the end
        log(logging.ERROR, run, "dies without saving its checkpoint: %s", saferepr(exc))


def lasted(run: OwnedRun) -> str:
    """How long the execution took, as the end of a line."""
    delivery = delivery_of(run.request)
    return "" if delivery is None else f", after {lasted_seconds(run):.1f} s"


def lasted_seconds(run: OwnedRun) -> float:
    """The same as a number; 0 where it is not known."""
    delivery = delivery_of(run.request)
    return 0.0 if delivery is None else round(time.monotonic() - delivery.began, 3)


def log(
    level: int, run: OwnedRun, what: str, *details: Any, exc_info: BaseException | None = None
) -> None:
    """One line for the person on call: run, how far, and what happened."""
    logger.log(
        level,
        "%s at cursor %.200r (%s done) " + what,
        run.key,
        run.execution.cursor,
        counted(run.execution.steps, "item"),
        *details,
        exc_info=exc_info,
    )

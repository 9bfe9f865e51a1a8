"""Leaving a run that is not done: interrupted, ended by an operator, or to be retried."""

from __future__ import annotations

import logging

from celery_graceful import signals
from celery_graceful._celery.task.delivery import Returned, Stores, limit_stores
from celery_graceful.errors import CorruptRecord, PublishUncertain
from celery_graceful.execution.leaving.successor import (
    announce_interruption,
    hand_over,
    leave_without_store,
    publish_successor,
)
from celery_graceful.execution.leaving.ways_out import drop_lost_run, end_by_operator, lasted, log
from celery_graceful.execution.owned import OwnedRun
from celery_graceful.execution.quarantine.replay import replay_of
from celery_graceful.execution.stopping import limits
from celery_graceful.execution.stopping.stop_hooks import no_longer_cut
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.model.run.verdict import Verdict


def leave(run: OwnedRun, reason: str) -> None:
    """Interrupt the execution, so that another one continues the run.

    Returns when neither store nor broker can have it, so that the run continues here.

    Raises:
        Left: another execution continues it, or an operator has ended or paused it.
        Returned: its message goes back to the broker.
    """
    no_longer_cut(run.request)
    if reason == StopReason.LEASE_LOST:
        drop_lost_run(run)
    run.report.stop()
    execution = run.execution
    signals.emit(signals.stop_requested, run.task, task_id=execution.id, reason=reason)
    if execution.work.began and not execution.not_migrated:
        _stop_work(run, reason)
    sent = False
    if reason == StopReason.STORE_UNAVAILABLE:
        try:
            return leave_without_store(run, reason)
        except PublishUncertain as exc:
            log(logging.WARNING, run, "waits for the store: %s", exc)
            sent = True
    returns = _returns(run, reason)
    run.leaving = True
    decision = hand_over(run, reason, successor=not returns, sent=sent)
    run.left = True
    limit_stores(run.request, Stores.UNFINISHED)
    announce_interruption(run, reason)
    if decision.verdict is not Verdict.PUBLISH:
        end_by_operator(run)
    if returns:
        log(logging.INFO, run, "goes back to the queue: %s%s", reason, lasted(run))
        raise Returned(reason)
    publish_successor(run, reason)
    return None


def _stop_work(run: OwnedRun, reason: str) -> None:
    execution = run.execution
    execution.work.prepare()
    if replay_of(run) is not None:
        pass  # it began without hooks
    elif reason == StopReason.CANCELLED:
        execution.informed(run.task.on_cancel)(*execution.args, **execution.kwargs)
    else:
        execution.informed(run.task.on_stop)(reason, *execution.args, **execution.kwargs)
    if not execution.work.save():
        drop_lost_run(run)


def _returns(run: OwnedRun, reason: str) -> bool:
    """Whether the message in hand goes back to the broker, in place of a successor."""
    # On solo nobody could take the successor before this process ends.
    if limits.runs_in_main_process(run.flag) and reason in (
        StopReason.SHUTDOWN,
        StopReason.MAINTENANCE,
    ):
        return True
    try:
        run.ticket.check_successor()
    except CorruptRecord as exc:
        log(logging.ERROR, run, "goes back to the queue, no message can be made of it: %s", exc)
        return True
    return False

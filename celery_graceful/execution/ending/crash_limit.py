"""Giving up a run: its executions die one after the other, or its checkpoint was lost."""

from __future__ import annotations

import logging
from typing import NoReturn

from celery_graceful import signals
from celery_graceful._celery.message.headers import LEFT_OUT
from celery_graceful.errors import CheckpointLost, MaxCrashesExceeded
from celery_graceful.execution.owned import OwnedRun
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.text.counting import counted

logger = logging.getLogger("celery_graceful.runs")

#: The type of the monitoring event; its fields are ``uuid``, ``name``, ``cursor``, ``crashes`` and
#: ``last_crash``.
EVENT = "graceful-run-gave-up"


def check(run: OwnedRun, verdict: Verdict) -> None:
    """End a run that was admitted only to fail.

    Raises:
        MaxCrashesExceeded: its executions die one after the other.
        CheckpointLost: nobody knows any more how far it was; the row of an atomic one may.
    """
    if verdict is Verdict.GIVE_UP:
        _give_up(run)
    if verdict is Verdict.LOST and not run.execution.resumed:
        _fail_without_checkpoint(run)


def _give_up(run: OwnedRun) -> NoReturn:
    """Tell everybody, and end the run with an error; its cursor is kept."""
    record = run.ticket.record
    crashes, last_crash = record.crashes, record.last_crash or "not known"
    logger.error(
        "%s fails after %s in a row without getting past cursor %.200r (%s done), the last one: %s",
        run.key,
        counted(crashes, "crash", "crashes"),
        run.execution.cursor,
        counted(run.execution.steps, "item"),
        last_crash,
    )
    signals.emit(
        signals.run_gave_up,
        run.task,
        **run.execution.details,
        crashes=crashes,
        last_crash=last_crash,
    )
    _send_event(run, crashes, last_crash)
    raise MaxCrashesExceeded(
        f"{run.key}: {counted(crashes, 'crash', 'crashes')} in a row without getting"
        f" past cursor {run.execution.cursor!r:.200}"
        f" ({counted(run.execution.steps, 'item')} done), the last one: {last_crash}."
        " The item after it is the likely cause: look for out-of-memory kills and segmentation"
        " faults at that time."
    )


def _fail_without_checkpoint(run: OwnedRun) -> NoReturn:
    """The run's record vanished, and its checkpoint was too large to travel with the message.

    Items would be repeated otherwise, from the first one on.
    """
    size = run.request.get(LEFT_OUT)
    logger.error("%s fails: its record vanished from the store with its checkpoint", run.key)
    raise CheckpointLost(
        f"{run.key}: its record vanished from the store, and its checkpoint of {size}"
        " bytes was too large to travel with its message (at most 32 KiB): nobody knows how far"
        " it was. Find out what removed the record (FLUSHALL, an eviction, a restart without"
        " persistence, a deleted key or row), and start the task anew with cursor=... after the"
        " last item done. A smaller carry travels with the message."
    )


def _send_event(run: OwnedRun, crashes: int, last_crash: str) -> None:
    try:
        run.task.send_event(
            EVENT,
            retry=False,
            name=run.task.name,
            cursor=repr(run.execution.cursor)[:200],
            crashes=crashes,
            last_crash=last_crash,
        )
    except Exception as exc:  # whatever the broker raises: the run has to end all the same
        logger.warning("%s: the event %s could not be sent: %r", run.key, EVENT, exc)

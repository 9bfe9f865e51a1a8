"""Giving up a run: its executions die one after the other, or its checkpoint was lost."""

from __future__ import annotations

import logging
from typing import NoReturn

from celery_graceful import signals
from celery_graceful._celery.message.headers import LEFT_OUT
from celery_graceful.errors import CheckpointLost, MaxCrashesExceeded
from celery_graceful.execution.owned import OwnedExecution
from celery_graceful.text.counting import counted

logger = logging.getLogger("celery_graceful.runs")

#: The type of the monitoring event; its fields are ``uuid``, ``name``, ``cursor``, ``crashes`` and
#: ``last_crash``.
EVENT = "graceful-run-gave-up"


def give_up(execution: OwnedExecution) -> NoReturn:
    """Tell everybody, and end the run with an error; its cursor is kept.

    Raises:
        MaxCrashesExceeded: always.
    """
    record = execution.ticket.record
    crashes, last_crash = record.crashes, record.last_crash or "not known"
    logger.error(
        "%s fails after %s in a row without getting past cursor %.200r (%s done), the last one: %s",
        execution.ticket.run,
        counted(crashes, "crash", "crashes"),
        execution.cursor,
        counted(execution.steps, "item"),
        last_crash,
    )
    signals.emit(
        signals.run_gave_up,
        execution.task,
        **execution.details,
        crashes=crashes,
        last_crash=last_crash,
    )
    _send_event(execution, crashes, last_crash)
    raise MaxCrashesExceeded(
        f"{execution.ticket.run}: {counted(crashes, 'crash', 'crashes')} in a row without getting"
        f" past cursor {execution.cursor!r:.200} ({counted(execution.steps, 'item')} done), the"
        f" last one: {last_crash}. The item after "
        "it is the likely cause: look for out-of-memory kills and segmentation faults at that time."
    )


def fail_without_checkpoint(execution: OwnedExecution) -> NoReturn:
    """The run's record vanished, and its checkpoint was too large to travel with the message.

    Raises:
        CheckpointLost: always. Items would be repeated otherwise, from the first one on.
    """
    size = execution.request.get(LEFT_OUT)
    logger.error(
        "%s fails: its record vanished from the store with its checkpoint", execution.ticket.run
    )
    raise CheckpointLost(
        f"{execution.ticket.run}: its record vanished from the store, and its checkpoint of {size}"
        " bytes was too large to travel with its message (at most 32 KiB): nobody knows how far"
        " it was. Find out what removed the record (FLUSHALL, an eviction, a restart without"
        " persistence, a deleted key or row), and start the task anew with cursor=... after the"
        " last item done. A smaller carry travels with the message."
    )


def _send_event(execution: OwnedExecution, crashes: int, last_crash: str) -> None:
    try:
        execution.task.send_event(
            EVENT,
            retry=False,
            name=execution.task.name,
            cursor=repr(execution.cursor)[:200],
            crashes=crashes,
            last_crash=last_crash,
        )
    except Exception as exc:  # whatever the broker says: the run has to end all the same
        logger.warning("%s: the event %s could not be sent: %r", execution.ticket.run, EVENT, exc)

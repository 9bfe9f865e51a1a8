"""Deliveries that were admitted and not executed: a hook or a ``__call__`` came before the run."""

from __future__ import annotations

import logging
from typing import Any

from celery import states

from celery_graceful._celery.task.delivery import delivery_of
from celery_graceful.errors import StoreError
from celery_graceful.model.run.record import Outcome
from celery_graceful.runs.admit import Admission
from celery_graceful.runs.ticket import Ticket

logger = logging.getLogger("celery_graceful.runs")


def end(task: Any, state: str | None, retval: Any) -> None:
    """Have the run agree with what Celery has stored, and does with the message.

    Args:
        task: the task, within its execution.
        state: the execution's state, as Celery tells ``task_postrun``.
        retval: what it returned or raised.
    """
    delivery = delivery_of(task.request)
    admission = None if delivery is None else delivery.answer
    if not isinstance(admission, Admission) or admission.ticket is None:
        return
    try:
        _end(admission.ticket, state, retval)
    except StoreError as exc:
        logger.error(
            "%s was %s without being executed, and the store does not know: %s",
            admission.ticket.run,
            state,
            exc,
        )


def _end(ticket: Ticket, state: str | None, retval: Any) -> None:
    requeued = state == states.REJECTED and getattr(retval, "requeue", False)
    if requeued or state == states.RETRY:  # the message comes again, as it is
        record = ticket.record
        ticket.hand_over(record.checkpoint, record.steps, str(state).lower(), successor=False)
    elif state in (states.SUCCESS, states.IGNORED):
        ticket.end(Outcome.COMPLETED)
    elif state in (states.FAILURE, states.REJECTED):
        ticket.end(Outcome.FAILED)

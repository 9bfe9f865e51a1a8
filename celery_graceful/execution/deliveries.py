"""Deliveries of runs: whether one may begin is asked before any receiver or handler hears of it.

So a duplicate message leaves no trace in other packages, as if the broker had never sent it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore, Reject

from celery_graceful._celery.task.delivery import Delivery, Left, Returned, delivery_of
from celery_graceful.execution import process
from celery_graceful.execution.entry import enter
from celery_graceful.runs.admit import Admission
from celery_graceful.runtime import runtime_of
from celery_graceful.stop import flag as stop_flag
from celery_graceful.stop.flag import StopFlag

if TYPE_CHECKING:
    from celery_graceful.execution.written import RunTask

logger = logging.getLogger("celery_graceful.runs")


def begin(task: RunTask, delivery: Delivery, request: Any) -> Ignore | Reject | None:
    """Ask the store whether a delivery may begin.

    What else goes wrong here is raised later, within the task, where Celery deals with it.

    Returns:
        ``None``, or the way out of a delivery that is not to be executed.
    """
    flag = stop_flag.current()
    if flag is None or task.faults:
        return None
    try:
        process.prepare()
        delivery.answer = _admitted(task, flag, request)
    except (Left, Returned) as way_out:
        return way_out
    except Exception as exc:
        delivery.answer = exc
    return None


def admission_of(task: RunTask, flag: StopFlag) -> Admission:
    """The answer to the delivery at hand.

    Raises:
        Exception: what :func:`begin` has left to be raised here.
    """
    delivery = delivery_of(task.request)
    answer = None if delivery is None else delivery.answer
    if answer is None:  # traced in a way that is not Celery's
        process.prepare()
        return _admitted(task, flag, task.request)
    if isinstance(answer, Exception):
        raise answer
    assert isinstance(answer, Admission)
    return answer


def _admitted(task: RunTask, flag: StopFlag, request: Any) -> Admission:
    admission = enter(runtime_of(task.app), task, flag, request)
    if admission.ticket is None:
        logger.info("%s[%s] dropped a duplicate message: %s", task.name, request.id, admission.why)
        raise Left(admission.why)
    return admission

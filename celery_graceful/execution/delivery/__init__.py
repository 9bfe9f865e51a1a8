"""The way into an execution: the store decides whether a delivery may begin.

It is asked before any receiver or handler sees the delivery, so a duplicate message leaves no
trace in other packages, as if the broker had never sent it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NoReturn

from celery.exceptions import Ignore, Reject

from celery_graceful._celery.message.headers import node_of
from celery_graceful._celery.task.delivery import (
    Delivery,
    Left,
    NotAdmitted,
    Returned,
    delivery_of,
)
from celery_graceful.errors import (
    CorruptRecord,
    NewerRecord,
    NotResumable,
    SettingsError,
    StoreError,
)
from celery_graceful.execution.delivery import process
from celery_graceful.runs.admit import Admission, admit
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.stop import flag as stop_flag
from celery_graceful.stop import sleep
from celery_graceful.stop.flag import StopFlag

if TYPE_CHECKING:
    from celery_graceful.execution.run_task import RunTask

logger = logging.getLogger("celery_graceful.runs")

#: Seconds before a message goes back that would be refused again at once.
PAUSE = 5.0
#: Seconds for which a store that does not answer is asked again: no longer than a lost connection
#: takes to be replaced, since plain tasks may wait for this slot.
PATIENCE = 1.0


def begin(task: RunTask, delivery: Delivery, request: Any) -> Ignore | Reject | None:
    """Ask the store whether a delivery may begin.

    What else goes wrong here is raised later, within the task, where Celery deals with it.

    Returns:
        ``None``, or the way out of a delivery that is not to be executed.
    """
    flag = stop_flag.current(node_of(request))
    if flag is None or task.faults:
        return None
    try:
        process.prepare()
        delivery.answer = _answer_to(task, flag, request)
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
        return _answer_to(task, flag, task.request)
    if isinstance(answer, Exception):
        raise answer
    assert isinstance(answer, Admission)
    return answer


def _answer_to(task: RunTask, flag: StopFlag, request: Any) -> Admission:
    admission = admitted(runtime_of(task.app), task, flag, request)
    if admission.ticket is None:
        logger.info("%s[%s] dropped a duplicate message: %s", task.name, request.id, admission.why)
        raise Left(admission.why)
    return admission


def admitted(runtime: Runtime, task: RunTask, flag: StopFlag, request: Any) -> Admission:
    """Ask whether the message behind ``request`` may continue its run.

    Raises:
        NotAdmitted: nobody can say; the worker keeps the message until somebody can.
        Returned: the message goes back to the broker.
        CorruptRecord: the run's record is damaged, and waiting would not fix it.
    """

    def enough(waited: float) -> bool:
        return flag.raised or waited >= min(PATIENCE, runtime.settings.lease_ttl)

    try:
        return admit(
            runtime,
            task.name,
            request,
            flag.worker,
            max_crashes=task.max_crashes,
            patience=enough,
        )
    except NewerRecord as exc:  # a worker of that version can read it
        _postpone(task, request, exc, store=False)
    except CorruptRecord:
        raise
    except NotResumable as exc:  # admitted, it would be lost at its first interruption
        logger.error("%s[%s] goes back to its queue: %s", task.name, request.id, exc)
        sleep(PAUSE)
        raise Returned(str(exc)) from exc
    except (StoreError, SettingsError) as exc:  # away, a wrong password, no memory left, …
        _postpone(task, request, exc, store=True)
    except Exception as exc:  # nothing of the task has run: no reason to fail it
        logger.exception("%s[%s] could not be admitted", task.name, request.id)
        _postpone(task, request, exc, store=False)


def _postpone(task: RunTask, request: Any, exc: Exception, *, store: bool) -> NoReturn:
    logger.warning(
        "%s[%s] waits: nobody can say whether it may run: %s", task.name, request.id, exc
    )
    raise NotAdmitted(str(exc), store) from exc

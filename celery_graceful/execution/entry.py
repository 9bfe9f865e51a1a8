"""The way into an execution: the store decides whether it may begin; else its message waits."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NoReturn

from celery_graceful._celery.consumer.request import NotAdmitted
from celery_graceful._celery.task.delivery import Returned
from celery_graceful.errors import (
    CorruptRecord,
    NewerRecord,
    NotResumable,
    SettingsError,
    StoreError,
)
from celery_graceful.runs.admit import Admission, admit
from celery_graceful.runtime import Runtime
from celery_graceful.stop import sleep
from celery_graceful.stop.flag import StopFlag

if TYPE_CHECKING:
    from celery_graceful.execution.written import RunTask

logger = logging.getLogger("celery_graceful.runs")

#: Seconds before a message goes back that would be refused again at once.
PAUSE = 5.0
#: Seconds for which a store that does not answer is asked again: no longer than a lost connection
#: takes to be replaced, since plain tasks may wait for this slot.
PATIENCE = 1.0


def enter(runtime: Runtime, task: RunTask, flag: StopFlag, request: Any) -> Admission:
    """Ask whether the message behind ``request`` may carry its run.

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

"""The way into a leg: the store says whether it may begin; if nobody can say, its message waits."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NoReturn

from celery.exceptions import Reject

from celery_graceful.errors import (
    CorruptRecord,
    GracefulError,
    NewerRecord,
    NotResumable,
    StoreError,
    StoreUnavailable,
)
from celery_graceful.runs.admission import Admission, admit
from celery_graceful.runtime import Runtime
from celery_graceful.stop import sleep
from celery_graceful.stop.flag import StopFlag

if TYPE_CHECKING:
    from celery_graceful.tasks.written import RunTask

__all__ = ["enter"]

logger = logging.getLogger("celery_graceful.runs")

#: Seconds before a message goes back that would be refused again at once.
PAUSE = 5.0


def enter(runtime: Runtime, task: RunTask, flag: StopFlag) -> Admission:
    """Ask whether the message at hand may carry its run.

    Raises:
        Reject: nobody can say; the broker is to keep the message.
        CorruptRecord: the run's record is damaged, and waiting would not mend it.
    """

    def enough(waited: float) -> bool:
        return flag.raised or waited >= runtime.settings.lease_ttl

    try:
        return admit(
            runtime,
            task.name,
            task.request,
            flag.worker,
            max_crashes=task.max_crashes,
            patience=enough,
        )
    except StoreUnavailable as exc:
        _give_back(task, exc)
    except CorruptRecord as exc:
        if not isinstance(exc, NewerRecord):
            raise
        sleep(PAUSE)
        _give_back(task, exc)
    except NotResumable as exc:  # admitted, it would be lost at its first interruption
        sleep(PAUSE)
        _give_back(task, exc)
    except StoreError as exc:  # no memory left, a password that was changed: people mend that
        sleep(PAUSE)
        _give_back(task, exc)


def _give_back(task: RunTask, exc: GracefulError) -> NoReturn:
    logger.error(
        "%s[%s] goes back to the queue: nobody can say whether it may run: %s",
        task.name,
        task.request.id,
        exc,
    )
    raise Reject(str(exc), requeue=True) from exc

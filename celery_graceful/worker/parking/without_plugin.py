"""A worker whose plugin could not start: it parks the messages of iterable tasks."""

from __future__ import annotations

import logging
from typing import Any

from celery_graceful._celery.consumer import unstarted
from celery_graceful._celery.consumer.request import RunRequest
from celery_graceful._celery.message.wire import broker_identity
from celery_graceful._celery.threads.native import native_lock
from celery_graceful.runtime import namespace_in
from celery_graceful.worker.contained import ContainedStep, failure_of
from celery_graceful.worker.maintenance import remote
from celery_graceful.worker.parking.other_workers import AskingOthers
from celery_graceful.worker.parking.waiting_runs import lot_for_runs

logger = logging.getLogger("celery_graceful.worker")

#: Seconds for connecting to the broker and for each confirmation, and until the next try.
TIMEOUT, RETRY = 3.0, 1.0


class WithoutPluginStep(ContainedStep):
    """Comes after the plugin's other steps and before the consumer; does nothing if all is well."""

    requires = ("celery_graceful.worker.maintenance.steps:MaintenanceStep",)
    #: It has to run when others have failed, and to be contained itself.
    vital = False

    def include(self, parent: Any) -> bool:
        """Called by Celery for each step, when all steps before it are created."""
        try:
            remote.register()
            if failure_of(parent) and not hasattr(parent, "graceful_attendant"):
                HeldRuns(parent)
        except Exception:
            logger.exception("Iterable tasks are not kept from starting on this worker")
        return True


class HeldRuns:
    """Keeps iterable tasks from starting: their messages are parked.

    Args:
        worker: a worker that has its pool, and has no consumer yet.
    """

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._lot = lot_for_runs(worker.app, broker_identity(worker.app), TIMEOUT)
        self._others = AskingOthers(
            worker.app, namespace_in(worker.app), worker.hostname, lambda: True
        )
        # On some pools what was due later comes from the timer's thread.
        self._lock = native_lock()
        self._start = unstarted.intercept(worker, self._admit)

    def _admit(self, request: Any) -> None:
        if isinstance(request, RunRequest):
            self._park(request)
        else:
            self._start(request)

    def _park(self, request: Any) -> None:
        with self._lock:
            parked = self._lot.put([request])
        if not parked:  # the log says why
            self._worker.timer.call_after(RETRY, self._park, (request,))
            return
        request.acknowledge()
        unstarted.forget(request)
        logger.warning("%s waits in the queue %s", request.name, self._lot.name)
        self._others.soon()

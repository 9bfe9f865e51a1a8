"""The bootsteps of maintenance: two of the worker, one of its consumer."""

from __future__ import annotations

import atexit
import logging
import os
from typing import Any

from celery import signals as celery_signals

from celery_graceful._celery.consumer.lost_connection import end_polls_before_closing
from celery_graceful.errors import SettingsError
from celery_graceful.runtime import runtime_of
from celery_graceful.stop import flag as stop_flag
from celery_graceful.tasks import definitions
from celery_graceful.worker.contained import ContainedStep, failure_of
from celery_graceful.worker.maintenance import remote
from celery_graceful.worker.maintenance.controller import MaintenanceController
from celery_graceful.worker.parking.run_parking import RunParkingWithoutPlugin

logger = logging.getLogger("celery_graceful.maintenance")

#: The first look may take this many timeouts of the store: for a connection, and for its answer.
LOOK = 3.0


class MaintenanceStep(ContainedStep):
    """Sets the gate before there is a consumer, and reads the mode before anything is consumed."""

    requires = ("celery_graceful.worker.step:GracefulStep",)

    def __init__(self, worker: Any, maintenance_force: bool = False, **options: Any) -> None:
        super().__init__(worker, **options)
        self.forced = bool(maintenance_force)
        self._ended = False

    def create(self, worker: Any) -> None:
        flag = stop_flag.current(worker.hostname)
        if flag is None:
            raise SettingsError("the worker has no stop flag: Graceful(app) adds GracefulStep")
        runtime = runtime_of(worker.app)
        faulty = frozenset(definitions.faulty(worker.app))
        worker.graceful_maintenance = MaintenanceController(
            worker, runtime, flag, forced=self.forced, faulty=faulty
        )
        remote.register()

    def start(self, worker: Any) -> None:
        if self.forced:
            logger.warning("Started with --maintenance-force: this worker ignores maintenance")
        self._watch = worker.graceful_maintenance.watch
        # A name server may take minutes, and the worker is not to wait for it.
        self._watch.start(patience=LOOK * runtime_of(worker.app).settings.store_timeout)
        celery_signals.worker_shutdown.connect(
            self._on_end, sender=worker, weak=False, dispatch_uid="graceful-maintenance-end"
        )
        # A cold stop sends no signal at its end.
        self._pid = os.getpid()
        atexit.register(self._on_end)

    def _on_end(self, **_: Any) -> None:
        """The pool has ended: nothing runs here any more."""
        if not self._ended and os.getpid() == self._pid:
            self._ended = True
            atexit.unregister(self._on_end)
            self._watch.stop()


class GateStep(ContainedStep):
    """Closes what is held whenever there is a new connection, before it consumes."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        end_polls_before_closing(consumer)

    def start(self, consumer: Any) -> None:
        consumer.controller.graceful_maintenance.reconnected(consumer)

    def stop(self, consumer: Any) -> None:
        """The connection is lost, or the worker stops: what waits is the broker's again."""


class WithoutPluginStep(ContainedStep):
    """Comes after the plugin's other steps and before the consumer; does nothing if all is well."""

    requires = ("celery_graceful.worker.maintenance.steps:MaintenanceStep",)
    #: It has to run when others have failed, and to be contained itself.
    vital = False

    def include(self, parent: Any) -> bool:
        """Called by Celery for each step, when all steps before it are created."""
        try:
            remote.register()
            if failure_of(parent) and not hasattr(parent, "graceful_maintenance"):
                RunParkingWithoutPlugin(parent)
        except Exception:
            logger.exception("Iterable tasks are not kept from starting on this worker")
        return True

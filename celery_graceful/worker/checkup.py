"""The doctor at a worker's start: what its configuration gets wrong, in the log, a line each."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from celery import signals as celery_signals

from celery_graceful._celery.pool.kind import pool_kind
from celery_graceful._celery.threads.native import start_native_thread
from celery_graceful.errors import StoreError
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.text.counting import counted
from celery_graceful.worker.contained import ContainedStep
from celery_graceful.worker.stopping.period import grace_of

if TYPE_CHECKING:
    from celery_graceful.doctor.facts.running_workers import Seen

logger = logging.getLogger("celery_graceful.worker")

#: Definitions of tasks; several brokers and no ``graceful_store``: the worker's step logs these,
#: also where the doctor is turned off.
LOGGED_AT_START = ("GD704", "GD808")


class CheckupStep(ContainedStep):
    """Lets the doctor examine a worker once it is ready, in a thread that nobody waits for."""

    requires = ("celery_graceful.worker.maintenance.steps:MaintenanceStep",)
    vital = False

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._worker = worker
        self._grace = grace_of(worker)

    def start(self, worker: Any) -> None:
        if runtime_of(worker.app).settings.doctor_at_start:
            celery_signals.worker_ready.connect(
                self._on_ready, weak=False, dispatch_uid="graceful-checkup"
            )

    def _on_ready(self, sender: Any = None, **_: Any) -> None:
        if getattr(sender, "controller", None) is not self._worker:
            return
        celery_signals.worker_ready.disconnect(dispatch_uid="graceful-checkup")
        # Imported here: a child that is forked in the middle of another thread's import could
        # never import the same itself.
        from celery_graceful.doctor import startup  # noqa: F401
        from celery_graceful.doctor.facts import processes

        if processes.readable():
            import psutil  # noqa: F401

        start_native_thread(self._examine)

    def _examine(self) -> None:
        try:
            self._tell()
        except Exception:
            logger.exception("The doctor could not examine this worker")

    def _tell(self) -> None:
        from celery_graceful.doctor.facts import processes
        from celery_graceful.doctor.finding import Severity
        from celery_graceful.doctor.startup import ask_unit, configuration_findings

        levels = {Severity.ERROR: logging.ERROR, Severity.WARNING: logging.WARNING}
        worker, grace = self._worker, self._grace
        pool = pool_kind(worker)
        findings = configuration_findings(
            worker.app,
            grace=None if grace is None else grace.seconds,
            pool=pool.name,
            queues=tuple(worker.app.amqp.queues.consume_from),
            seen=_seen(runtime_of(worker.app)),
            # It matters to children only; and gevent starts no programs from other threads.
            unit=ask_unit(os.environ) if pool.children else "",
            ancestry=processes.own_ancestry() if processes.readable() else (),
        )
        for finding in findings:
            if finding.id in LOGGED_AT_START:
                continue
            logger.log(levels.get(finding.severity, logging.INFO), "%s", finding)
        logger.debug("The doctor has examined this worker: %s", counted(len(findings), "finding"))


def _seen(runtime: Runtime) -> Seen | None:
    """What other workers have seen; runs are not looked through by each worker of a fleet."""
    from celery_graceful.doctor.facts.running_workers import look_around

    store = runtime.open_store()
    if not store.shared_between_processes:
        return None
    try:
        return look_around(runtime, store, most_runs=0)
    except StoreError as exc:
        logger.debug("The doctor does not know how long tasks take: %s", exc)
        return None
    finally:
        store.close()

"""What a worker answers to ``celery inspect graceful``, and the broadcast of a new mode."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from dataclasses import asdict
from typing import Any

import celery
from celery.worker.control import Panel, control_command, inspect_command

import celery_graceful
from celery_graceful._celery.pool.kind import pool_kind
from celery_graceful._celery.worker_parts import consumer_of, slots_of
from celery_graceful.doctor.facts.running_workers import Running
from celery_graceful.durations import format_seconds
from celery_graceful.errors import CorruptRecord
from celery_graceful.maintenance.mode_changes import COMMAND
from celery_graceful.maintenance.workers import encode_report
from celery_graceful.model.maintenance.mode_text import received_mode
from celery_graceful.runtime import Runtime, namespace_in, runtime_of
from celery_graceful.stop import flag as stop_flag
from celery_graceful.worker.contained import failure_of
from celery_graceful.worker.maintenance.peers import SEND_BACK
from celery_graceful.worker.stopping.period import grace_of

#: The name of the command that asks.
INSPECT = "graceful"
NOT_FOR_THIS_WORKER = {"ok": "not for this worker"}

logger = logging.getLogger("celery_graceful.maintenance")
#: Not empty once a message that is no mode was logged: its sender may send many.
_logged: list[bool] = []


def register() -> None:
    """Make the commands known to this process: a worker, or ``celery inspect``."""
    if INSPECT in Panel.meta:
        return
    inspect_command(name=INSPECT)(graceful)
    control_command(name=COMMAND, visible=False)(graceful_maintenance)
    control_command(name=SEND_BACK, visible=False)(graceful_send_back)


def graceful(state: Any, **_: Any) -> dict[str, Any]:
    """What the maintenance mode means for this worker, what it runs, and what the doctor asks."""
    maintenance = _maintenance_of(state)
    if maintenance is None:
        failure = failure_of(state.consumer.controller)
        if failure:
            return {"namespace": namespace_in(state.app), "failure": failure}
        return {"error": "this worker's app has no Graceful(app)"}
    return {
        "namespace": maintenance.runtime.namespace,
        "mode": maintenance.known_mode(),
        "starts_runs": maintenance.starts_runs,
        "report": json.loads(encode_report(maintenance.report())),  # with its schema
        "vitals": vitals(state.consumer.controller),
    }


def graceful_maintenance(
    state: Any, namespace: Any = "", version: Any = 0, text: Any = "", **_: Any
) -> dict[str, Any]:
    """A new maintenance mode; what does not come through is read from the store soon after."""
    maintenance = _maintenance_of(state)
    if maintenance is None or namespace != maintenance.runtime.namespace:
        return NOT_FOR_THIS_WORKER
    try:
        mode = received_mode(version, text, least=1)
    except (CorruptRecord, ValueError) as exc:
        if not _logged:
            _logged.append(True)
            logger.warning(
                "A control message %s is ignored, as are others like it; the mode in the store"
                " counts: %s",
                COMMAND,
                exc,
            )
        return {"error": str(exc)}
    maintenance.watch.learn(mode)
    return {"ok": f"maintenance mode {version}"}


def graceful_send_back(state: Any, namespace: Any = "", **_: Any) -> dict[str, Any]:
    """Another worker, on which no run can start, has parked some."""
    maintenance = _maintenance_of(state)
    if maintenance is None or namespace != maintenance.runtime.namespace:
        return NOT_FOR_THIS_WORKER
    maintenance.run_parking.asked()
    return {"ok": "parked runs are sent back"}


def _maintenance_of(state: Any) -> Any:
    return getattr(state.consumer.controller, "graceful_maintenance", None)


def vitals(worker: Any) -> dict[str, Any]:
    """The worker as the doctor's :class:`Running`, ready to be sent.

    Args:
        worker: Celery's worker, with its consumer.
    """
    runtime, grace = runtime_of(worker.app), grace_of(worker)
    maintenance = getattr(worker, "graceful_maintenance", None)
    said = asdict(
        Running(
            hostname=worker.hostname,
            host=socket.gethostname(),
            app=str(worker.app.main or ""),
            namespace=runtime.namespace,
            pool=pool_kind(worker).name,
            slots=slots_of(worker),
            queues=tuple(sorted(worker.app.amqp.queues.consume_from)),
            version=celery_graceful.__version__,
            celery=celery.__version__,
            grace=None if grace is None else grace.seconds,
            margin=None if grace is None else grace.margin,
            grace_source="" if grace is None else grace.source,
            seconds_left=_seconds_left(worker.hostname),
            soft_shutdown_timeout=float(worker.app.conf.get("worker_soft_shutdown_timeout") or 0),
            remap_sigterm=os.environ.get("REMAP_SIGTERM", ""),
            prefetch=int(getattr(consumer_of(worker), "initial_prefetch_count", 0) or 0),
            forced=bool(maintenance is not None and maintenance.forced),
            settings=_shared(runtime),
        )
    )
    return {**said, "queues": list(said["queues"])}


def _seconds_left(hostname: str) -> float | None:
    flag = stop_flag.current(hostname)
    if flag is None or not flag.raised or flag.deadline is None:
        return None
    return round(max(0.0, flag.deadline - time.monotonic()), 1)


def _shared(runtime: Runtime) -> dict[str, str]:
    """Settings that all workers of an app must have in common."""
    return {
        "graceful_namespace": runtime.namespace,
        "graceful_store": runtime.store_address,
        "graceful_lease_ttl": format_seconds(runtime.settings.lease_ttl),
        "graceful_resume_queue": runtime.settings.resume_queue or "",
    }

"""What a worker tells the doctor of itself."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import asdict
from typing import Any

import celery

import celery_graceful
from celery_graceful._celery.pool.kind import pool_kind
from celery_graceful._celery.worker_parts import consumer_of, slots_of
from celery_graceful.doctor.facts.running_workers import Running
from celery_graceful.durations import format_seconds
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.stop import flag as stop_flag
from celery_graceful.worker.stopping.period import grace_of


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

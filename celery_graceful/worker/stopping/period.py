"""The grace period of this worker, found once."""

from __future__ import annotations

import os
from typing import Any

import celery_graceful
from celery_graceful.durations import format_seconds
from celery_graceful.grace.deadlines import Grace
from celery_graceful.grace.surroundings import find_grace, readers_for
from celery_graceful.runtime import Runtime, runtime_of


def grace_of(worker: Any) -> Grace | None:
    """How long a worker has from the stop signal to SIGKILL; ``None``: nobody knows.

    The first call may take three seconds, since it asks the worker's surroundings.

    Args:
        worker: Celery's worker; the answer is kept on it as ``graceful_grace``.

    Raises:
        SettingsError: the environment variable ``GRACEFUL_GRACE_PERIOD`` is wrong.
    """
    if not hasattr(worker, "graceful_grace"):
        settings = runtime_of(worker.app).settings
        worker.graceful_grace = find_grace(
            settings.grace_period,
            settings.kill_margin,
            os.environ,
            readers=readers_for(ask_kubernetes=settings.ask_kubernetes),
        )
    found: Grace | None = worker.graceful_grace
    return found


def in_force(runtime: Runtime, grace: Grace | None) -> str:
    """What a worker found out and goes by, in a line for its log."""
    settings = runtime.settings
    lease = format_seconds(settings.lease_ttl)
    return (
        f"celery-graceful {celery_graceful.__version__}: runs of {runtime.namespace} are kept in"
        f" {runtime.store_address}; lease {lease}; {_period(grace)}"
    )


def _period(grace: Grace | None) -> str:
    if grace is None:
        return "grace period not known, so that a stop waits for tasks as long as they take"
    seconds, margin = format_seconds(grace.seconds), format_seconds(round(grace.margin, 1))
    found = f"grace period {seconds} ({grace.source})"
    if not grace.learnt:
        return f"{found}, tasks that still run are cut off {margin} before its end"
    return (
        f"{found}, iterable tasks that still run are cut off {margin} before its end, and others"
        " are not: nobody set graceful_grace_period"
    )

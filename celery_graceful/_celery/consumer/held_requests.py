"""Which requests the worker's main process holds."""

from __future__ import annotations

from typing import Any

from celery.platforms import EX_FAILURE, EX_OK
from celery.worker import state as _typed_state

from celery_graceful._celery.consumer.request import RunRequest
from celery_graceful._celery.threads.native import StillChanging, snapshot

state: Any = _typed_state


def active_runs() -> list[tuple[str, str]]:
    """Task name and id of the iterable tasks that run in this worker now.

    Raises:
        StillChanging: nobody can say.
    """
    runs = [r for r in snapshot(state.active_requests) if isinstance(r, RunRequest)]
    return [(r.type, r.id) for r in runs if isinstance(r.id, str)]  # a stranger's id may be a list


def revoked_active_runs() -> list[tuple[str, str]]:
    """Those of :func:`active_runs` whose id was revoked."""
    return [run for run in active_runs() if run[1] in state.revoked]


def something_runs() -> bool:
    """Whether any task, of whatever kind, runs in this worker now; also when that is not known."""
    try:
        return bool(snapshot(state.active_requests))
    except StillChanging:
        return True


def stop_when_idle() -> None:
    """Have the worker's loop end it (a warm stop) at its next turn."""
    state.should_stop = EX_OK


def terminate_when_idle() -> None:
    """Have the worker's loop end it (a cold stop) when the task it is in has returned."""
    state.should_terminate = EX_FAILURE

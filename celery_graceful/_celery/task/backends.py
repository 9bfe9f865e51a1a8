"""Result backends: which state a task has there, and the connections of one thread."""

from __future__ import annotations

import logging
import sys
from typing import Any

from celery import _state as _typed_state
from celery import states
from celery.backends.base import DisabledBackend

logger = logging.getLogger("celery_graceful.runs")

celery_state: Any = _typed_state

_BEFORE_THE_END = frozenset(
    {None, states.PENDING, states.RECEIVED, states.STARTED, states.RETRY, "PROGRESS"}
)


def backend_of(task: Any) -> Any:
    """A task's result backend, for a thread that uses it again and again.

    Celery's database backend opens a connection at each use, except in a process that was forked
    after the backend was made. This thread's own is made to keep its connection.
    """
    backend = task.backend
    sessions = getattr(backend, "session_manager", None)
    if sessions is not None and backend is getattr(task.app._local, "backend", None):
        sessions.forked = True
    return backend


def state_of(backend: Any, task_id: str) -> tuple[str | None, Any]:
    """The state that ``backend`` has of a task, and its result; ``None``: none, or it keeps none.

    The ``rpc`` backend keeps nothing: each state is a message to the caller, and to look for one
    would declare a queue.
    """
    if isinstance(backend, DisabledBackend) or _is_rpc(backend):
        return None, None
    meta = backend.get_task_meta(task_id, cache=False)
    return meta.get("status"), meta.get("result")


def may_be_replaced(state: str | None) -> bool:
    """Whether a state is Celery's own and not final: no outcome, no state of somebody else's."""
    return state in _BEFORE_THE_END


def recover(exc: Exception) -> None:
    """A backend failed in this thread: what is broken is opened anew at its next use."""
    if "django.db" in sys.modules:
        _close_django()


def close_of_this_thread() -> None:
    """Close what the backends of this thread have open. It ends, or so does its process."""
    for app in list(celery_state._get_active_apps()):
        backend = getattr(getattr(app, "_local", None), "backend", None)
        if backend is None:
            continue
        try:
            _close(backend)
        except Exception as exc:  # the process ends, and what it has open with it
            logger.info("a result backend could not be closed: %r", exc)
    if "django.db" in sys.modules:
        _close_django()


def _close(backend: Any) -> None:
    client = vars(backend).get("client")  # of Redis, if it was ever used
    if client is not None and hasattr(client, "connection_pool"):
        client.connection_pool.disconnect()
    engines = getattr(getattr(backend, "session_manager", None), "_engines", {})
    for engine in list(engines.values()):
        engine.dispose()


def _close_django() -> None:
    try:
        sys.modules["django.db"].connections.close_all()
    except Exception as exc:
        logger.info("database connections of Django could not be closed: %r", exc)


def _is_rpc(backend: Any) -> bool:
    rpc = sys.modules.get("celery.backends.rpc")
    return rpc is not None and isinstance(backend, rpc.RPCBackend)

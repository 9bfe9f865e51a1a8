"""Result backends refuse what is stored for a task on behalf of an execution that has left it.

Receivers of signals store states: celery-progress stores IGNORED at each ``task_postrun`` that has
that state, others store the state that they receive, or their own. All of them call
``store_result``.
"""

from __future__ import annotations

import logging
from typing import Any
from weakref import WeakValueDictionary

from celery import states
from celery.backends.base import DisabledBackend

from celery_graceful._celery.task.backends import state_of
from celery_graceful._celery.task.delivery import OUTCOMES, Delivery

logger = logging.getLogger("celery_graceful.runs")

_GUARD = "graceful_guard"

#: The executions that this process traces, by the id of their task.
_deliveries: dict[str, Delivery] = {}
#: Requests for runs that this process has received, by the id of their task.
_received: WeakValueDictionary[str, Any] = WeakValueDictionary()


def enlist(delivery: Delivery) -> None:
    """From now on the delivery decides what may be stored for its task."""
    _deliveries[delivery.task_id] = delivery


def withdraw(delivery: Delivery) -> None:
    """The execution is over."""
    if _deliveries.get(delivery.task_id) is delivery:
        del _deliveries[delivery.task_id]


def expect(request: Any) -> None:
    """A message for a run was received, perhaps a duplicate: what is stored because of it must not
    replace an outcome.

    Args:
        request: the worker's request, as long as it exists.
    """
    _received[request.id] = request
    guard(request.task.backend)


def guard(backend: Any) -> None:
    """Have a backend ask before it stores; the one of this thread, as Celery gives it to tasks."""
    if _GUARD in backend.__dict__ or isinstance(backend, DisabledBackend):
        return
    theirs = backend.store_result

    def store_result(task_id: str, result: Any, state: str, *args: Any, **options: Any) -> Any:
        if not _may_store(backend, task_id, result, state):
            logger.debug("%s of %s is not stored: its run is not at its end here", state, task_id)
            return result
        return theirs(task_id, result, state, *args, **options)

    backend.store_result = store_result
    setattr(backend, _GUARD, True)


def _may_store(backend: Any, task_id: str, result: Any, state: str) -> bool:
    delivery = _deliveries.get(task_id)
    if delivery is not None:
        allowed = delivery.stores.allow(state)
        if allowed:
            delivery.show(state, result)
        return allowed
    if task_id not in _received or state in OUTCOMES - {states.IGNORED, states.REJECTED}:
        return True
    return state_of(backend, task_id)[0] not in states.READY_STATES

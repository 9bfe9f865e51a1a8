"""One delivery of a task as its process sees it: how it is left, and what may still be stored.

An execution that is not the end of its task leaves by ``Ignore`` or ``Reject``. Receivers, handlers
and wrappers of other packages must take it neither for an end nor for an error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Any

from celery import states
from celery.exceptions import Ignore, Reject, TaskRevokedError

#: The delivery that is traced here. Not on the request, since Celery sends on what it does not know
#: there with each retry.
_traced: ContextVar[Delivery | None] = ContextVar("graceful_delivery", default=None)

#: States that callers take for the end of a task.
OUTCOMES = frozenset(states.READY_STATES) | {states.IGNORED, states.REJECTED}


class Left(Ignore):
    """The execution ends here, and is not the end of its task."""


class Returned(Reject):
    """The execution ends here, and its message goes back to the broker."""

    def __init__(self, reason: Any = None, requeue: bool = True) -> None:
        super().__init__(reason, requeue=requeue)


class ExecutionLeft(Returned):
    """An execution gives its message back without a word to the store."""

    def __init__(self, reason: str, fence: int) -> None:
        super().__init__(reason)
        self.fence = fence

    def __reduce__(self) -> tuple[Any, ...]:
        return ExecutionLeft, (self.reason, self.fence)  # type: ignore[attr-defined]


class NotAdmitted(Returned):
    """Nobody can say now whether a message may carry its run; nothing of it has run here.

    Args:
        reason: for people.
        store: whether the store is the cause, so that other runs would fare the same.
    """

    def __init__(self, reason: str, store: bool = True) -> None:
        super().__init__(reason)
        self.store = store

    def __reduce__(self) -> tuple[Any, ...]:
        return NotAdmitted, (self.reason, self.store)  # type: ignore[attr-defined]


class Stores(Enum):
    """Which states may be stored for a task on behalf of an execution."""

    ANY = "any"
    #: The task goes on, and nobody else has it yet.
    UNFINISHED = "unfinished"
    #: The task was cancelled.
    REVOKED = "revoked"
    #: Somebody else may have the task, and may have ended it.
    NONE = "none"

    def allow(self, state: str) -> bool:
        """Whether ``state`` may be stored."""
        if self is Stores.UNFINISHED:
            return state not in OUTCOMES
        if self is Stores.REVOKED:
            return state == states.REVOKED
        return self is Stores.ANY


class Delivery:
    """What is known of an execution while Celery traces it.

    Args:
        task_id: the task's id.
        hostname: the worker's name.
    """

    def __init__(self, task_id: str, hostname: str | None) -> None:
        self.task_id = task_id
        self.stores = Stores.ANY
        #: When it was begun, in monotonic seconds.
        self.began = time.monotonic()
        #: Why the execution was left; raised where no wrapper of another package sees it.
        self.way_out: Ignore | Reject | None = None
        #: The answer that the execution got to its message before Celery traced it.
        self.answer: Any = None
        #: Called when Celery has stored what the execution came to.
        self.afterwards: list[Callable[[], object]] = []
        self._shown: tuple[str, Any] = (
            states.STARTED,
            {"pid": os.getpid(), "hostname": hostname},
        )

    def show(self, state: str, meta: Any) -> None:
        """Remember a state that the execution stored, or could have."""
        if state not in OUTCOMES:
            self._shown = (state, meta)

    def reported(self) -> tuple[str, Any]:
        """The state and the result that receivers of ``task_postrun`` get for a way out."""
        if self.stores is Stores.REVOKED:
            return states.REVOKED, TaskRevokedError("revoked")
        return self._shown

    def end(self) -> None:
        """Do what was left for the end; doing it again changes nothing."""
        while self.afterwards:
            self.afterwards.pop(0)()


def limit_stores(request: Any, stores: Stores) -> None:
    """From now on no more than this is stored on behalf of the execution behind ``request``."""
    delivery = delivery_of(request)
    if delivery is not None:
        delivery.stores = stores


@contextmanager
def stores_limited(request: Any, stores: Stores) -> Iterator[None]:
    """Within the block and after it no more is stored than this; as before if the block raises."""
    delivery = delivery_of(request)
    before = Stores.ANY if delivery is None else delivery.stores
    limit_stores(request, stores)
    try:
        yield
    except BaseException:
        limit_stores(request, before)
        raise


def delivery_of(request: Any) -> Delivery | None:
    """The delivery that ``request`` belongs to; ``None`` for eager tasks and direct calls."""
    found = _traced.get()
    if found is None or found.task_id != getattr(request, "id", None) or request.is_eager:
        return None
    return found


@contextmanager
def tracing(delivery: Delivery) -> Iterator[None]:
    """Within the block it is the delivery of requests with its task's id."""
    token = _traced.set(delivery)
    try:
        yield
    finally:
        _traced.reset(token)

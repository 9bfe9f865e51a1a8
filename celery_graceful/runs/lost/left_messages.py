"""Messages of executions that left while the store was away: they have the newer checkpoint."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from celery_graceful._celery.message.bodies import task_and_id
from celery_graceful._celery.message.headers import CHECKPOINT, LEFT
from celery_graceful.errors import CursorError
from celery_graceful.model.run.cursor import decode
from celery_graceful.model.run.record import RunKey
from celery_graceful.runtime import Runtime
from celery_graceful.stores.base import Store


class Headers(Protocol):
    """The headers of a message, or a request, which has them too."""

    def get(self, name: str) -> Any:
        """One of them; ``None``: there is none."""


class LeftWith(NamedTuple):
    """What an execution put into its message when it left."""

    fence: int
    checkpoint: str
    #: The items done by then.
    steps: int


def left_with(headers: Headers) -> LeftWith | None:
    """What the sender left with; ``None``: it told the store, or a stranger wrote the message."""
    fence, checkpoint = headers.get(LEFT), headers.get(CHECKPOINT)
    if type(fence) is not int or not isinstance(checkpoint, str):
        return None
    try:
        return LeftWith(fence, checkpoint, decode(checkpoint).steps)
    except CursorError:
        return None


def save_left(runtime: Runtime, store: Store, message: Any) -> None:
    """Save the checkpoint that a message has, if its sender still owns the run in the store.

    So a rescuer that is quicker than the message continues from there.

    Args:
        store: where to.
        message: kombu's message, or an envelope.

    Raises:
        StoreError: the store does not take it.
    """
    left = left_with(message.headers or {})
    if left is None:
        return
    name, id = task_and_id(runtime.app, message)
    task = getattr(runtime.app.tasks.get(name), "name", name)  # it may have been renamed
    lease = runtime.settings.lease_ttl
    store.checkpoint(RunKey(task, id), left.fence, left.checkpoint, left.steps, due_in=lease)

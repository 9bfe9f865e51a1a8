"""Deliveries to a worker in this very process: real messages, requests, traces; no pool."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery.app import trace as _typed_trace

from celery_graceful.stop import flag as stop_flag

trace: Any = _typed_trace


class InProcess:
    """Takes messages of an app's broker and executes them as a worker's child would.

    Args:
        app: a Celery app whose broker may be ``memory://``.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.flag = _new_flag()
        #: How many executions there were.
        self.executions = 0

    def stop(self) -> None:
        """The worker has to stop; it takes no more messages. Called from within a task."""
        self.flag.raise_("shutdown")  # type: ignore[arg-type]
        self.flag.release()

    def item(self) -> None:
        """To be called in each item: a stop is seen before the items are over."""
        if self.flag.raised:
            time.sleep(0.01)

    def deliver(self, queue: str = "celery", *, redelivered: bool = False) -> str | None:
        """Execute the next message of a queue in a worker that was just started.

        Returns:
            The task's id; ``None`` when the queue is empty.
        """
        message = self._take(queue)
        if message is None:
            return None
        message.delivery_info["redelivered"] = redelivered
        self.flag = _new_flag()
        self.executions += 1
        task = self.app.tasks[message.headers["task"]]
        kind = self.app.tasks[task.name].Request
        request = _class_of(kind)(message, app=self.app, task=task, hostname="w@host")
        args, kwargs, embed = message.payload
        fields = {**request._request_dict, **(embed or {}), "is_eager": False}
        with stop_flag.lent(self.flag):
            trace.trace_task(task, request.id, args, kwargs, fields, app=self.app)
        return str(request.id)

    def deliver_all(self, queue: str = "celery", most: int = 50) -> int:
        """Execute until the queue is empty; returns how many executions there were."""
        for count in range(most):
            if self.deliver(queue) is None:
                return count
        raise AssertionError(f"more than {most} messages")

    def _take(self, queue: str) -> Any:
        with self.app.connection_for_write() as connection:
            bound = self.app.amqp.queues.select_add(queue)(connection.default_channel)
            bound.declare()
            message = bound.get(accept=self.app.conf.accept_content)
            if message is not None:
                message.ack()
            return message


@contextmanager
def as_in_a_worker() -> Iterator[None]:
    """Patch ``Task.__call__`` as Celery does in workers."""
    trace._install_stack_protection()
    try:
        yield
    finally:
        trace.reset_worker_optimizations()


def _new_flag() -> stop_flag.StopFlag:
    return stop_flag.StopFlag(
        mmap.mmap(-1, stop_flag.SIZE), os.getpid(), f"w/{os.urandom(4).hex()}"
    )


def _class_of(kind: Any) -> Any:
    from celery.utils.imports import symbol_by_name

    return symbol_by_name(kind)

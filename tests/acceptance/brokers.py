"""What brokers do to messages that are held for long, and how to see it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu import Connection, Producer


def send_by_protocol_1(url: str, task: str, *args: Any) -> str:
    """Send a message as clients in other languages write it: all in the body, no header at all.

    Args:
        url: of the broker.
        task: the task's name.
        args: its positional arguments.

    Returns:
        The task id.
    """
    task_id = str(uuid.uuid4())
    own = {"id": task_id, "task": task, "args": list(args), "kwargs": {}}
    body = {**own, "retries": 0, "eta": None, "expires": None}
    with Connection(url) as connection:
        Producer(connection).publish(body, routing_key="celery", serializer="json")
    return task_id


@contextmanager
def restoring(url: str, **options: Any) -> Iterator[None]:
    """Have kombu put back what is overdue, as any consumer does now and then, five times a second.

    Args:
        url: of the Redis broker.
        options: the transport options of the application.
    """
    failed: list[Exception] = []
    ended = threading.Event()

    def restore() -> None:
        try:
            with Connection(url, transport_options=options) as connection:
                channel: Any = connection.default_channel
                qos = channel.qos
                while not ended.wait(0.2):
                    qos.restore_visible(num=None, interval=1)
        except Exception as exc:
            failed.append(exc)

    thread = threading.Thread(target=restore)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if failed:
        raise failed[0]


def held_by_redis(url: str, **options: Any) -> int:
    """How many messages are delivered and not acknowledged."""
    with Connection(url, transport_options=options) as connection:
        channel: Any = connection.default_channel
        # The client does not prefix the keys of this command.
        return int(channel.client.zcard(channel.global_keyprefix + channel.unacked_index_key))

"""What brokers do to messages that are held for long, and how to see it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu import Connection

__all__ = ["held_by_redis", "restoring"]


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

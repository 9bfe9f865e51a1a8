"""The test's own side of a broker: sends tasks by name and waits for their results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.backends.redis import RedisBackend
from kombu import pools


@contextmanager
def producer(broker: str, backend: str, **settings: Any) -> Iterator[Celery]:
    """An application without tasks, its connections closed at the end.

    Args:
        broker: URL of the broker.
        backend: URL of the result backend.
        settings: more of Celery's settings.
    """
    app = Celery("producer", broker=broker, backend=backend, set_as_current=False)
    app.conf.update(settings)
    try:
        yield app
    finally:
        _disconnect(app)
        app.close()


def _disconnect(app: Celery) -> None:
    """Close the sockets that ``app.close()`` leaves to the garbage collector."""
    pools.reset()
    backend = app.backend
    if isinstance(backend, RedisBackend):
        consumer: Any = backend.result_consumer  # type: ignore[attr-defined]
        consumer.stop()
        consumer._pubsub = None  # else a result that is deleted later connects again to unsubscribe
        backend.client.connection_pool.disconnect()

"""What a rescuer needs besides the store: an app with a broker, from which messages are read."""

from __future__ import annotations

from typing import Any

from celery import Celery

from celery_graceful._celery.message.envelope import Envelope, pack
from celery_graceful._celery.message.headers import generation_of
from celery_graceful.runtime import Runtime, runtime_of

#: Seconds; long beside the real time that a life takes on a real store.
LEASE = 1200.0
MAX_CRASHES = 3


class Project:
    """One app for all lives of a test, on kombu's broker in memory."""

    def __init__(self) -> None:
        self.app: Any = Celery("lives", broker="memory://", set_as_current=False)
        self.app.conf.update(
            graceful_store="memory://",
            graceful_lease_ttl=LEASE,
            graceful_max_crashes=MAX_CRASHES,
            graceful_run_retention=1e9,
            task_default_queue="lives",
        )
        self.runtime: Runtime = runtime_of(self.app)
        message = Envelope(
            body=b'[[], {}, {"chain": null, "chord": null}]',
            content_type="application/json",
            content_encoding="utf-8",
            headers={"id": "id", "task": "task"},
            properties={},
            exchange="",
            routing_key="lives",
            broker=self.runtime.broker,
        )
        self.envelope = pack(message)
        self._connection = self.app.connection_for_read()
        self._channel: Any = self._connection.default_channel
        self.app.amqp.queues["lives"](self._channel).declare()
        self.sent()

    def sent(self) -> list[int]:
        """The generations of the messages that were published since the last call."""
        taken = iter(lambda: self._channel.basic_get("lives", no_ack=True), None)
        return [generation_of(message.headers) for message in taken]

    def close(self) -> None:
        """Give back the connection."""
        self._connection.close()
        self.app.close()

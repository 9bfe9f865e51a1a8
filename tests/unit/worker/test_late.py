"""A message that comes too late goes back, and one line says which it was."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from kombu import Connection, Consumer, Queue

from celery_graceful._celery.consumer.stop_consuming import name_late_messages


def test_it_is_named_and_goes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Connection("memory://") as connection:
        channel: Any = connection.default_channel
        transport: Any = connection.transport
        queue = Queue("late", channel=channel)
        consumer = Consumer(channel, [queue], callbacks=[lambda *_: None])
        consumer.consume()
        producer = connection.Producer()
        producer.publish(
            [], routing_key="late", declare=[queue], headers={"task": "shop.work", "id": "7"}
        )
        raw = channel._get("late")  # the poll that was under way
        consumer.cancel()
        name_late_messages(connection, ["late"])
        transport._deliver(raw, "late")
        assert [record.message for record in caplog.records] == [
            "shop.work[7] goes back to its queue late: it came when this worker no longer consumed"
        ]
        again = queue.get()
        assert again is not None
        assert again.headers["id"] == "7"
        # Consumed again, it is the consumer's.
        heard: list[object] = []
        consumer.register_callback(lambda body, message: heard.append(message))
        consumer.consume()
        transport._deliver(raw, "late")
        assert len(heard) == 1

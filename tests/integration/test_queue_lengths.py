"""How many messages wait in a queue, by real brokers, and by one that says nothing."""

from __future__ import annotations

import socket
import time

from celery import Celery

from celery_graceful._celery.message.queue_lengths import QueueLengths


def test_messages_are_counted(broker_url: str) -> None:
    app = Celery("shop", broker=broker_url, set_as_current=False)
    for priority in (0, 0, 5):
        app.send_task("shop.export", queue="exports", priority=priority)
    lengths = QueueLengths(app)
    try:
        # The second time on the same connection; a queue that nobody made has nothing to say.
        for _ in range(2):
            found = lengths.of(["nobody.made.it", "exports"], 10.0)
            assert found.get("nobody.made.it", 0) == 0
            assert found["exports"] == 3
    finally:
        lengths.close()
        app.close()


def test_a_broker_that_says_nothing_holds_up_nobody() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        app = Celery("shop", broker=url, set_as_current=False)
        lengths, began = QueueLengths(app), time.monotonic()
        assert lengths.of(["exports"], 0.2) == {}
        assert lengths.of(["exports"], 0.5) == {}
        assert time.monotonic() - began < 10
        app.close()

"""A connection to Redis is lost while a poll is outstanding and a message is unacknowledged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.worker.consumer import Consumer as _Consumer
from kombu import Connection, Consumer, Exchange, Queue

from celery_graceful._celery.consumer.lost_connection import end_polls_before_closing
from celery_graceful._celery.consumer.stop_consuming import polling
from tests.servers import Valkey

CeleryConsumer: Any = _Consumer  # the stubs leave out what this is about

CONTROL = Queue(
    "control", Exchange("control", type="fanout"), auto_delete=True, durable=False, expires=10
)


class Worker:
    """What a Celery worker has open: a consumer of tasks, and one of remote control."""

    def __init__(self, url: str, **options: Any) -> None:
        self.messages: list[Any] = []
        self.connection = Connection(url, transport_options=options)
        self.tasks: Any = Consumer(
            self.connection, [Queue("celery")], on_message=self.messages.append, accept=["json"]
        )
        self.control: Any = Consumer(self.connection.channel(), [CONTROL], accept=["json"])
        self.consumer = SimpleNamespace(
            app=Celery(set_as_current=False),
            connection=self.connection,
            prefetch_multiplier=4,
            max_prefetch_count=8,
            initial_prefetch_count=8,
            qos_global=True,
            on_connection_error_after_connected=self._celery_closes,
        )
        self.consumer.app.conf.worker_cancel_long_running_tasks_on_connection_loss = True

    def _celery_closes(self, exc: Exception) -> None:
        CeleryConsumer.on_connection_error_after_connected(self.consumer, exc)

    def take_one(self) -> None:
        """Receive a message, and ask for the next."""
        with self.connection.Producer() as producer:
            producer.publish({}, routing_key="celery", declare=[Queue("celery")])
        self.tasks.consume()
        self.control.consume()
        until = time.monotonic() + 10
        while not (self.messages and polling(self.connection)):
            assert time.monotonic() < until
            with suppress(TimeoutError):
                self.connection.drain_events(timeout=0.2)

    def lose_connection(self) -> None:
        """What Celery does when its event loop has met the error."""
        self.consumer.on_connection_error_after_connected(ConnectionError("lost"))


@pytest.fixture
def worker(own_valkey: Valkey) -> Iterator[Worker]:
    one = Worker(own_valkey.url)
    one.take_one()
    yield one
    with suppress(Exception):
        one.connection.release()


def test_a_worker_outlives_a_broker_that_is_away(worker: Worker, own_valkey: Valkey) -> None:
    end_polls_before_closing(worker.consumer)
    own_valkey.kill()
    worker.lose_connection()
    assert not polling(worker.connection)


def test_messages_go_back_when_the_broker_is_there(worker: Worker, own_valkey: Valkey) -> None:
    end_polls_before_closing(worker.consumer)
    with own_valkey.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "yes")
        worker.lose_connection()
        assert client.llen("celery") == 1


def test_a_poll_that_still_stands_loses_no_message(worker: Worker, own_valkey: Valkey) -> None:
    end_polls_before_closing(worker.consumer)
    with own_valkey.client() as client, Connection(own_valkey.url) as other:
        client.execute_command("CLIENT", "KILL", "TYPE", "PUBSUB")
        with other.Producer() as producer:  # is sent to the poll, and read by nobody
            producer.publish({}, routing_key="celery")
        worker.lose_connection()
        assert len(worker.messages) == 2
        assert client.llen("celery") == 2


def test_a_silent_broker_is_not_waited_for(worker: Worker, own_valkey: Valkey) -> None:
    worker.consumer.on_connection_error_after_connected = lambda exc: None
    end_polls_before_closing(worker.consumer)
    own_valkey.freeze()
    try:
        began = time.monotonic()
        worker.lose_connection()
        assert time.monotonic() - began < 10
        assert not polling(worker.connection)
    finally:
        own_valkey.thaw()


def test_a_poll_that_waits_longer_is_waited_for(own_valkey: Valkey) -> None:
    """Of a message that the server sends to a closed connection nobody has a copy."""
    worker = Worker(own_valkey.url, polling_interval=3)
    try:
        worker.take_one()
        end_polls_before_closing(worker.consumer)
        began = time.monotonic()
        worker.lose_connection()
        assert time.monotonic() - began >= 2
        with own_valkey.client() as client:
            clients: Any = client.client_list()
        assert not [one for one in clients if one["cmd"] == "brpop"]
    finally:
        with suppress(Exception):
            worker.connection.release()


class Broken:
    """A consumer whose connection cannot even be looked at."""

    def __init__(self) -> None:
        self.closed: list[Exception] = []
        self.on_connection_error_after_connected = self.closed.append

    @property
    def connection(self) -> Any:
        raise RuntimeError("broken")


def test_celery_closes_the_connection_whatever_becomes_of_the_polls() -> None:
    consumer = Broken()
    end_polls_before_closing(consumer)
    lost = ConnectionError("lost")
    with pytest.raises(RuntimeError, match="broken"):
        consumer.on_connection_error_after_connected(lost)
    assert consumer.closed == [lost]

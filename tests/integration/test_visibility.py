"""Renewing the times of held messages, on a real Redis and through kombu's own transport."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from kombu import Connection, Consumer, Queue
from kombu.asynchronous import Hub

from celery_graceful._celery.consumer import visibility
from celery_graceful._celery.consumer.visibility import Renewals, _OwnConnection
from tests.harness import wait_for
from tests.servers import Valkey

#: Seconds; times are renewed five times a second.
VISIBLE = 0.6


class Holder:
    """Consumes as Celery's worker does, and acknowledges when it is asked to."""

    def __init__(self, url: str, **options: Any) -> None:
        self.connection = Connection(url, transport_options=options)
        self.queue = Queue("celery")
        self.messages: list[Any] = []
        self.task_consumer: Any = Consumer(
            self.connection, [self.queue], on_message=self.messages.append, accept=["json"]
        )
        self.worker = SimpleNamespace(consumer=self)

    def take(self, count: int) -> None:
        """Publish and receive so many messages."""
        with self.connection.Producer() as producer:
            for number in range(count):
                producer.publish({"number": number}, routing_key="celery", declare=[self.queue])
        with self.task_consumer:
            while len(self.messages) < count:
                with suppress(TimeoutError):
                    self.connection.drain_events(timeout=1)


class Told(Renewals):
    """Tells when its thread has ended."""

    def __init__(self, worker: Any) -> None:
        super().__init__(worker)
        self.ended = threading.Event()

    def _run(self) -> None:
        super()._run()
        self.ended.set()


@contextmanager
def holder(url: str, count: int, **options: Any) -> Iterator[Holder]:
    held = Holder(url, **{"visibility_timeout": VISIBLE, **options})
    try:
        held.take(count)
        yield held
        for message in held.messages:
            if not message.acknowledged:
                message.ack()
    finally:
        held.connection.release()


@contextmanager
def renewing(held: Holder, hub: Hub | None = None) -> Iterator[Renewals]:
    renewals = Told(held.worker)
    if hub is not None:
        renewals.watch(hub)
    renewals.start()
    try:
        yield renewals
    finally:
        renewals.stop()
        assert renewals.ended.wait(10)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def scores(client: redis.Redis, key: str = "unacked_index") -> dict[str, float]:
    found: Any = client.zrange(key, 0, -1, withscores=True)
    return dict(found)


def wait_renewed(client: redis.Redis, key: str = "unacked_index") -> None:
    """Wait until all that is held was renewed twice."""
    for _ in range(2):
        since = time.time()
        wait_for(lambda since=since: min(scores(client, key).values()) >= since, 10, "renewals")  # type: ignore[misc]


def pass_time(seconds: float) -> None:
    """Let some renewals come, or not."""
    until = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() > until, 2 * seconds)


@pytest.mark.parametrize("count", [1, 10, 25])
def test_all_that_is_held_is_renewed(
    redis_url: str, client: redis.Redis, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visibility, "_CHUNK", 10)
    with holder(redis_url, count) as held, renewing(held):
        wait_renewed(client)
        assert len(scores(client)) == count


def test_it_costs_one_command_each_time(redis_url: str, client: redis.Redis) -> None:
    with holder(redis_url, 100) as held, renewing(held):
        wait_renewed(client)
        client.config_resetstat()
        begun = time.monotonic()
        for _ in range(4):
            wait_renewed(client)
        times = (time.monotonic() - begun) / (VISIBLE / 3)
        stats: Any = client.info("commandstats")
    assert 8 <= stats["cmdstat_zadd"]["calls"] <= times + 2
    # What is left is this test's own looks.
    assert set(stats) <= {"cmdstat_zadd", "cmdstat_zrange", "cmdstat_config|resetstat"}


def test_what_was_acknowledged_does_not_come_back(redis_url: str, client: redis.Redis) -> None:
    with holder(redis_url, 3) as held, renewing(held):
        wait_renewed(client)
        held.messages[0].ack()
        held.messages[1].reject()
        wait_renewed(client)
        assert list(scores(client)) == [held.messages[2].delivery_tag]
        # Removed behind the worker's back: another consumer found it overdue.
        client.zrem("unacked_index", held.messages[2].delivery_tag)
        pass_time(VISIBLE)
        assert scores(client) == {}


def test_prefix_and_keys_are_those_of_the_transport(redis_url: str, client: redis.Redis) -> None:
    options = {"global_keyprefix": "shop:", "unacked_index_key": "since"}
    with holder(redis_url, 2, **options) as held, renewing(held):
        wait_renewed(client, "shop:since")
    assert set(client.keys()) <= {"shop:_kombu.binding.celery", "shop:_kombu.binding_deadlines"}


def test_a_clock_that_is_set_back_lowers_no_time(
    redis_url: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with holder(redis_url, 1) as held, renewing(held):
        wait_renewed(client)
        real = time.time
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: real() - 3600)
            before = scores(client)
            wait_for(lambda: scores(client) != before, 10, "the next renewal")
        assert min(scores(client).values()) > min(before.values())


def test_an_event_loop_that_stands_still_holds_nothing(
    redis_url: str,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hub = Hub()
    try:
        with holder(redis_url, 1) as held, renewing(held, hub) as renewals:
            wait_renewed(client)
            monkeypatch.setattr(visibility, "_STUCK", 0.0)
            wait_for(lambda: "event loop has not turned" in caplog.text, 10, "the warning")
            before = scores(client)
            pass_time(VISIBLE)
            assert scores(client) == before
            renewals.unwatch()  # the worker stops, which ends the loop
            wait_renewed(client)
            assert caplog.text.count("cannot be renewed") == 1
            assert caplog.text.count("are kept again") == 1
    finally:
        hub.close()


def test_a_redis_that_is_away(own_valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    held = Holder(own_valkey.url, visibility_timeout=VISIBLE)
    held.take(1)
    with renewing(held), own_valkey.client() as client:
        wait_renewed(client)
        own_valkey.restart(keep_data=True)
        wait_renewed(client)
        caplog.clear()  # a renewal may have met the restart
        own_valkey.kill()
        wait_for(lambda: "cannot be renewed" in caplog.text, 20, "the warning")
        own_valkey.start()
        wait_for(lambda: "are kept again" in caplog.text, 20, "the other one")
    assert caplog.text.count("cannot be renewed") == 1
    held.connection.release()


def test_other_transports_are_left_alone() -> None:
    held = Holder("memory://")
    renewals = Told(held.worker)
    renewals.start()
    assert renewals.ended.wait(10)
    held.connection.release()


def test_no_other_broker_is_renewed_at(redis_url: str) -> None:
    """kombu would turn there when this one is away for a moment, and stay."""
    with Connection(f"{redis_url};redis://127.0.0.1:1/0") as connection:
        own = _OwnConnection()
        try:
            own.client(connection).ping()
            assert not own._copy.alt
            assert own._copy.as_uri() == connection.as_uri()
        finally:
            own.close()

"""How many messages wait in a queue, by real brokers: a number soon, or nothing; never an error."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from celery import Celery
from kombu import Queue

from celery_graceful._celery.message.queue_lengths import MOST_QUEUES, QueueLengths
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.valkey import Valkey

#: Seconds that an answer may take; and how much more a loaded machine may need.
SOON, SPARE = 10.0, 3.0


@contextmanager
def lengths_of(app: Celery) -> Iterator[QueueLengths]:
    lengths = QueueLengths(app)
    try:
        yield lengths
    finally:
        lengths.close()
        app.close()


def make_app(url: str) -> Celery:
    return Celery("shop", broker=url, set_as_current=False)


def test_messages_are_counted(broker_url: str) -> None:
    app = make_app(broker_url)
    for priority in (0, 0, 5):
        app.send_task("shop.export", queue="exports", priority=priority)
    with lengths_of(app) as lengths:
        # The second time on the same connection; a queue that nobody made has nothing to say.
        for _ in range(2):
            found = lengths.of(["nobody.made.it", "exports", "é x"], SOON)
            assert found.get("nobody.made.it", 0) == 0
            assert found["exports"] == 3


def test_priorities_on_redis(redis_url: str) -> None:
    """Each has a list of its own."""
    app = make_app(redis_url)
    app.conf.broker_transport_options = {"priority_steps": list(range(10)), "sep": ":"}
    for priority in (0, 1, 1, 4, 9, None):
        app.send_task("shop.export", queue="exports", priority=priority)
    with lengths_of(app) as lengths:
        assert lengths.of(["exports"], SOON) == {"exports": 6}


@pytest.mark.parametrize(
    "arguments",
    [{"x-queue-type": "quorum"}, {"x-max-priority": 10}, {"x-max-length": 2}],
    ids=["quorum", "priorities", "bounded"],
)
def test_kinds_of_queues_on_rabbitmq(rabbitmq_url: str, arguments: dict[str, object]) -> None:
    app = make_app(rabbitmq_url)
    app.conf.task_queues = [Queue("exports", queue_arguments=arguments)]
    for _ in range(2):
        app.send_task("shop.export", queue="exports")
    with lengths_of(app) as lengths:
        until = time.monotonic() + SOON
        # A quorum queue counts a message once most of its members have it.
        while (found := lengths.of(["exports"], SOON)) != {"exports": 2}:
            assert time.monotonic() < until, found


def test_without_rights_on_redis(own_valkey: Valkey) -> None:
    with own_valkey.client() as client:
        client.execute_command("ACL", "SETUSER", "few", "on", ">right", "~*", "&*", "+ping")
    at = urlsplit(own_valkey.url)
    for password in ("right", "wrong"):
        with lengths_of(make_app(f"redis://few:{password}@{at.hostname}:{at.port}/0")) as lengths:
            began = time.monotonic()
            assert lengths.of(["exports"], SOON) == {}
            assert time.monotonic() - began < SOON + SPARE


def test_without_rights_on_rabbitmq(rabbitmq_server: RabbitMQ, rabbitmq_url: str) -> None:
    """Of two queues it may see one."""
    at = urlsplit(rabbitmq_url)
    vhost = at.path[1:]
    rabbitmq_server._erlang(
        'rabbit_auth_backend_internal:add_user(<<"few">>, <<"right">>, <<"test">>),'
        f' rabbit_auth_backend_internal:set_permissions(<<"few">>, <<"{vhost}">>,'
        ' <<"^mine$">>, <<"^mine$">>, <<"^mine$">>, <<"test">>)'
    )
    app = make_app(rabbitmq_url)
    for queue in ("mine", "yours"):
        app.send_task("shop.export", queue=queue)
    app.close()
    with lengths_of(make_app(f"amqp://few:right@{at.hostname}:{at.port}/{vhost}")) as lengths:
        for _ in range(2):
            found = lengths.of(["yours", "mine"], SOON)
            assert found["mine"] == 1
    with lengths_of(make_app(f"amqp://few:wrong@{at.hostname}:{at.port}/{vhost}")) as lengths:
        assert lengths.of(["mine"], SOON) == {}


def test_a_slow_broker_is_waited_for_no_longer_than_asked(broker_url: str) -> None:
    at = urlsplit(broker_url)
    assert at.port is not None
    app = make_app(broker_url)
    app.send_task("shop.export", queue="exports")
    app.close()
    proxy = Proxy(at.port)
    slow = make_app(broker_url.replace(f":{at.port}/", f":{proxy.port}/"))
    try:
        with lengths_of(slow) as lengths:
            assert lengths.of(["exports"], SOON) == {"exports": 1}
            proxy.delay = 0.6
            began = time.monotonic()
            assert lengths.of([f"q{n}" for n in range(2 * MOST_QUEUES)], 0.3) == {}
            assert lengths.of(["exports"], 0.3) == {}, "it is asked while it has not answered"
            assert time.monotonic() - began < 0.3 + SPARE
            proxy.delay = 0.0
            until = time.monotonic() + 60
            while lengths.of(["exports"], SOON) != {"exports": 1}:
                assert time.monotonic() < until, "it is not asked again"
                time.sleep(0.05)
    finally:
        proxy.close()


def test_a_broker_that_says_nothing_holds_up_nobody() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        app = make_app(url)
        lengths, began = QueueLengths(app), time.monotonic()
        assert lengths.of(["exports"], 0.2) == {}
        assert lengths.of(["exports"], 0.5) == {}
        assert time.monotonic() - began < 10
        app.close()

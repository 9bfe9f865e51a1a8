"""Which way a message takes again, after it came through a delay or ahead of others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kombu.transport.native_delayed_delivery import calculate_routing_key

from celery_graceful._celery.message.envelope import Envelope, capture, envelope_of
from celery_graceful._celery.message.headers import HOME, QUEUE, RAW

DELAYED = "celery_delayed_delivery"


def captured(exchange: str, key: str, queue: str | None = None) -> Envelope:
    properties: dict[str, Any] = {RAW: (b"[]", "application/json", "utf-8", {}), QUEUE: queue}
    info = {"exchange": exchange, "routing_key": key}
    found = capture(SimpleNamespace(properties=properties, delivery_info=info), "amqp://b")
    assert found is not None
    return found


def delivered(exchange: str, key: str, queue: str | None = None) -> Envelope:
    message: Any = SimpleNamespace(
        body=b"[]",
        content_type="application/json",
        content_encoding="utf-8",
        headers={},
        properties={},
        delivery_info={"exchange": exchange, "routing_key": key},
    )
    return envelope_of(message, "amqp://b", queue)


@pytest.mark.parametrize("make", [captured, delivered])
@pytest.mark.parametrize("key", ["celery", "feed.import", "shop.mail", "1.0.rest"])
@pytest.mark.parametrize("exchange", [DELAYED, f"team_{DELAYED}"])
def test_a_message_that_was_delayed_goes_back_to_its_queue(
    make: Any, key: str, exchange: str
) -> None:
    delayed = calculate_routing_key(77, key)
    known = make(exchange, delayed, "the-queue")
    assert (known.exchange, known.routing_key) == ("", "the-queue")
    # The exchange at the end of the delay has the queues bound by ``#.`` and their keys.
    guessed = make(exchange, delayed)
    assert (guessed.exchange, guessed.routing_key) == (exchange, key)


@pytest.mark.parametrize("make", [captured, delivered])
def test_others_go_the_way_they_came(make: Any) -> None:
    found = make("shop", "mail.1.0", "the-queue")
    assert (found.exchange, found.routing_key) == ("shop", "mail.1.0")


@pytest.mark.parametrize("priority", [None, 3])
def test_a_message_that_went_ahead_is_brought_home(priority: int | None) -> None:
    first = captured("shop", "mail").moved("shop", "mail", {"id": "x"})
    if priority is not None:
        first.properties["priority"] = priority  # type: ignore[index]
    ahead = first.by_way_of("resumed", 9)
    assert (ahead.exchange, ahead.routing_key) == ("", "resumed")
    assert HOME in ahead.headers
    assert ahead.at_home() == first
    assert first.at_home() is first

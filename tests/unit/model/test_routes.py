"""The queue of a message, told from its exchange and routing key."""

from __future__ import annotations

import pytest

from celery_graceful.stop.hold import Binding, queue_of

BINDINGS = (
    Binding("celery", "celery", "celery"),
    Binding("reports", "shop", "rep"),
    Binding("eu", "places", "eu.*"),
    Binding("all", "places", "#"),
    Binding("logs", "logs", "app.#"),
)


@pytest.mark.parametrize(
    ("exchange", "key", "queue"),
    [
        ("", "anything", "anything"),
        ("celery", "celery", "celery"),
        ("shop", "rep", "reports"),
        ("places", "eu.paris", "eu"),
        ("places", "eu.paris.east", "all"),
        ("logs", "app", "logs"),
        ("logs", "app.web.one", "logs"),
        ("logs", "apps", "apps"),
        ("unknown", "key", "key"),
        ("celery_delayed_27", "0.0.1.0.reports", "reports"),
        ("celery_delayed_delivery", "1.1.eu.paris", "eu.paris"),
    ],
)
def test_the_queue_is_found(exchange: str, key: str, queue: str) -> None:
    assert queue_of(BINDINGS, exchange, key) == queue

"""Several brokers: what a worker sends goes to the one that it consumes from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from kombu.exceptions import OperationalError

from celery_graceful._celery.message import brokers

A, B = "redis://a.invalid/1", "redis://b.invalid/1"


class Worker(SimpleNamespace):
    """As much of a worker as is looked at."""


def worker_at(app: Celery, url: str | None) -> Worker:
    connection = None if url is None else app.connection_for_read()
    if connection is not None and url is not None:
        connection.switch(url)
    worker = Worker(app=app, consumer=Worker(connection=connection))
    brokers.follow(worker)
    return worker


def app_with(**settings: Any) -> Celery:
    app = Celery("shop", set_as_current=False)
    app.conf.update(settings)
    return app


def host(app: Celery) -> str:
    return str(brokers.connection_for_write(app, 1).hostname)


@pytest.mark.parametrize("form", [f"{A};{B}", [A, B]])
def test_it_is_where_the_worker_is(form: Any) -> None:
    app = app_with(broker_url=form)
    assert host(app) == "a.invalid"
    for url in (A, B):
        worker = worker_at(app, url)
        assert host(app) == url[8:17]
        assert not brokers.connection_for_write(app, 1).alt  # nowhere else
    del worker
    assert host(app) == "a.invalid"


@pytest.mark.parametrize(
    "settings",
    [
        {"broker_url": A},
        {"broker_url": f"{A};{B}", "broker_write_url": A},
        {"broker_write_url": A, "broker_read_url": B},
    ],
)
def test_what_is_configured_otherwise_stays_so(settings: dict[str, Any]) -> None:
    app = app_with(**settings)
    worker = worker_at(app, B)
    assert host(app) == "a.invalid"
    del worker


def test_other_apps_and_workers_without_a_connection() -> None:
    app = app_with(broker_url=f"{A};{B}")
    worker = worker_at(app_with(broker_url=f"{A};{B}"), B)
    assert host(app) == "a.invalid"
    worker = worker_at(app, None)
    assert host(app) == "a.invalid"
    del worker


@pytest.mark.parametrize("strategy", ["round-robin", "shuffle"])
def test_each_of_several_is_tried(strategy: str) -> None:
    away = [f"redis://127.0.0.1:{port}/0" for port in (1, 2)]
    app = app_with(broker_url=[*away, "memory://"], broker_failover_strategy=strategy)
    for _ in range(3):
        connection = app.connection_for_write()
        try:
            brokers.connect(connection, 5)
            assert connection.connected
            assert connection.transport.driver_type == "memory"
        except OperationalError:
            assert strategy == "shuffle"  # it may draw the others ten times
        finally:
            connection.release()

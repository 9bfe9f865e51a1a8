"""A server that says nothing while a worker stops does not keep it until the kill."""

from __future__ import annotations

from collections.abc import Callable
from signal import SIGTERM
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance.cutting import SETTINGS, Cut
from tests.acceptance.scene import Scene
from tests.harness import Ledger, Worker
from tests.selection import rows
from tests.servers.proxy import proxy

pytestmark = pytest.mark.slow

SILENT = 60.0
GRACE = 6.0
SHORT = {**SETTINGS, "graceful_grace_period": GRACE, "graceful_kill_margin": 3.5}


@pytest.mark.parametrize(
    ("broker_url", "pool"),
    rows(
        [("rabbitmq", "prefork"), ("redis", "threads")],
        [("redis", "prefork"), ("rabbitmq", "threads")],
    ),
    indirect=["broker_url"],
)
def test_a_broker_that_is_silent(
    broker_url: str,
    redis_url: str,
    ledger: Ledger,
    start_worker: Callable[..., Worker],
    pool: str,
) -> None:
    scene = Scene("cut", broker_url, redis_url, ledger, start_worker)
    scene.settings = {**SHORT, "graceful_store": redis_url}
    with proxy(port_of(broker_url)) as cable, scene.producer() as app:
        cut = Cut(scene, app)
        scene.broker = through(cable.port, broker_url)
        worker = scene.worker(pool=pool)
        lost, late = begun(cut)
        cable.delay = SILENT
        log = stopped_in_time(worker)
    assert f"Lost cut.early[{lost.id}] args=('early',) kwargs={{}}: cut off after" in log
    assert f"cut.late[{late.id}] was cut off after" in log
    if pool == "prefork":
        assert "late finally" in ledger.items()


def test_a_result_backend_that_is_silent(
    broker_url: str, redis_url: str, ledger: Ledger, start_worker: Callable[..., Worker]
) -> None:
    scene = Scene("cut", broker_url, redis_url, ledger, start_worker)
    scene.settings = {**SHORT, "graceful_store": redis_url}
    with proxy(port_of(redis_url)) as cable, scene.producer() as app:
        cut = Cut(scene, app)
        scene.backend = through(cable.port, redis_url)
        worker = scene.worker()
        lost, late = begun(cut)
        cable.delay = SILENT
        log = stopped_in_time(worker)
    assert f"Handed back cut.late[{late.id}]" in log
    assert f"FAILURE of cut.early[{lost.id}] could not be stored in time" in log


def begun(cut: Cut) -> tuple[Any, Any]:
    """An early-acked and a late-acked task that run."""
    results = cut.send("early", "early"), cut.send("late", "late")
    cut.noted("early begins")
    cut.noted("late begins")
    return results


def stopped_in_time(worker: Worker) -> str:
    """Stop the worker; returns what it told until the kill."""
    worker.signal(SIGTERM)
    assert worker.wait(GRACE + 5) == 0, "else it waits for who is silent"
    return worker.log()


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def through(port: int, url: str) -> str:
    return url.replace(f":{port_of(url)}", f":{port}")

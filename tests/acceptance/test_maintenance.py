"""Maintenance on real workers: nothing held starts, nothing is lost, everything runs once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.acceptance.closing import Closing, closing
from tests.acceptance.scene import Scene, wait_listening
from tests.harness import Ledger, Worker, wait_for

POOLS = ("prefork", "threads", "solo", "gevent")


#: How many short tasks there are, and in how many seconds the others are due.
SHORT, ETA = 60, 2.0
#: Of the workers that the fixture ``upkeep`` makes.
SETTINGS = {"worker_prefetch_multiplier": 4}


@pytest.mark.core
@pytest.mark.parametrize("pool", POOLS)
def test_reserved_and_eta_tasks_go_back_and_run_once(upkeep: Closing, pool: str) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    worker = upkeep.scene.worker(pool=pool)
    hold_in_the_middle(upkeep, worker)


@pytest.mark.brokers("rabbitmq")
def test_rate_limited_tasks_go_back_as_well(upkeep: Closing) -> None:
    worker = upkeep.scene.worker()
    control: Any = upkeep.app.control
    wait_listening(upkeep.app, worker)
    node = f"{worker.name}@localhost"
    assert control.rate_limit("upkeep.short", "4/s", destination=[node], reply=True, timeout=20)
    sent = [upkeep.send("short", number) for number in range(12)]
    upkeep.wait_noted("short:", 2)
    version = upkeep.down()
    upkeep.wait_paused(worker, version=version)
    paused_at = time.monotonic()
    wait_for(lambda: time.monotonic() > paused_at + 1, 10, "that some would have been due")
    assert upkeep.begun_after(paused_at) == []
    assert control.rate_limit("upkeep.short", "0", destination=[node], reply=True, timeout=20)
    upkeep.up()
    for result in sent:
        result.get(timeout=60)
    assert set(Counter(upkeep.noted()).values()) == {1}


def test_autoscale_starts_nothing(upkeep: Closing) -> None:
    worker = upkeep.scene.worker("--autoscale=4,1")
    sent = [upkeep.send("short", number, 0.2) for number in range(60)]
    upkeep.wait_noted("short:", 8)
    version = upkeep.down()
    upkeep.wait_paused(worker, version=version)
    paused_at = time.monotonic()
    wait_for(lambda: time.monotonic() > paused_at + 3, 10, "that it has looked at its size")
    assert upkeep.begun_after(paused_at) == []
    upkeep.up()
    for result in sent:
        result.get(timeout=60)
    assert set(Counter(upkeep.noted()).values()) == {1}


@pytest.mark.brokers("redis", "rabbitmq")
def test_messages_keep_their_order(upkeep: Closing) -> None:
    worker = upkeep.scene.worker(concurrency=1)
    sent = [upkeep.send("short", number, 0.05) for number in range(30)]
    upkeep.wait_noted("short:", 5)
    version = upkeep.down()
    upkeep.wait_paused(worker, version=version)
    upkeep.up()
    for result in sent:
        result.get(timeout=60)
    assert upkeep.noted() == [f"short:{number}" for number in range(30)]


@pytest.mark.rabbitmq
def test_quorum_queues(
    rabbitmq_url: str, redis_url: str, ledger: Ledger, start_worker: Callable[..., Worker]
) -> None:
    scene = Scene("upkeep", rabbitmq_url, redis_url, ledger, start_worker)
    scene.settings = {
        "worker_prefetch_multiplier": 4,
        "task_default_queue": "sure",
        "task_default_queue_type": "quorum",
        "worker_detect_quorum_queues": True,
    }
    with closing(scene) as upkeep:
        hold_in_the_middle(upkeep, scene.worker())


def hold_in_the_middle(upkeep: Closing, worker: Worker) -> None:
    """Hold everything while tasks run, are reserved and have an ETA; then release it."""
    sent = [upkeep.send("short", number, 0.1) for number in range(SHORT)]
    later = [upkeep.send("other", number, countdown=ETA) for number in range(6)]
    eta = time.monotonic() + ETA
    upkeep.wait_noted("short:", 5)

    version = upkeep.down()
    upkeep.wait_paused(worker, version=version)
    paused_at = time.monotonic()
    assert len(upkeep.noted()) < SHORT + 6
    wait_for(lambda: time.monotonic() > max(eta, paused_at) + 1, 20, "that the ETAs are over")
    assert upkeep.begun_after(paused_at) == []

    upkeep.up()
    for result in (*sent, *later):
        result.get(timeout=60)
    assert set(Counter(upkeep.noted()).values()) == {1}
    assert len(upkeep.noted()) == SHORT + 6


def test_signals_and_events(upkeep: Closing) -> None:
    seen: list[str] = []
    worker = upkeep.scene.worker("-E")
    with upkeep.app.connection_for_read() as connection:
        receiver: Any = upkeep.app.events.Receiver(
            connection, handlers={"*": lambda event: seen.append(event["type"])}
        )
        with receiver.consumer_context() as (own, _, _):
            drain_until(own, lambda: bool(seen))  # a heartbeat: it is subscribed
            version = upkeep.down(reason="a migration")
            upkeep.wait_paused(worker, version=version)
            upkeep.up()
            worker.wait_log("Maintenance is over")
            drain_until(own, lambda: "graceful-maintenance-left" in seen)
    told = [kind for kind in seen if kind.startswith("graceful-")]
    assert told == ["graceful-maintenance-entered", "graceful-maintenance-left"]
    worker.wait_log("SIGNAL entered upkeep everything a migration")
    worker.wait_log("SIGNAL left upkeep")


def drain_until(connection: Any, condition: Callable[[], bool]) -> None:
    """Take what comes until the condition holds, or for half a minute."""
    for _ in range(120):
        if condition():
            return
        with suppress(TimeoutError):
            connection.drain_events(timeout=0.25)

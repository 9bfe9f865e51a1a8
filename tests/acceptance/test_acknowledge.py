"""A busy queue of short runs: every message is acknowledged, and a stop is no slower."""

from __future__ import annotations

from signal import SIGTERM
from typing import Any

import pytest
from kombu import Connection

from tests.acceptance.scene import Scene, StartWorker, signatures
from tests.harness import Ledger, wait_for

pytestmark = pytest.mark.slow

RUNS, ITEMS, STOPS = 60, 3, 4


@pytest.fixture
def scene(broker_url: str, redis_url: str, ledger: Ledger, start_worker: StartWorker) -> Scene:
    return Scene("verbs", broker_url, redis_url, ledger, start_worker)


def ready_messages(url: str) -> int:
    """How many messages wait in the queue; those that were delivered do not count."""
    with Connection(url) as connection:
        channel: Any = connection.default_channel
        if url.startswith("redis"):  # where a queue without messages does not exist
            return int(channel.client.llen("celery"))
        return int(channel.queue_declare("celery", passive=True).message_count)


@pytest.mark.parametrize("children", [1, 2])
def test_no_message_of_a_short_run_is_left(scene: Scene, children: int) -> None:
    worker = scene.worker(concurrency=children)
    with scene.producer() as app:
        runs = [signatures(app, "verbs")("counted", ITEMS, tag=f"r{i}") for i in range(RUNS)]
        for result in [run.apply_async() for run in runs]:
            result.get(timeout=30)
        if scene.broker.startswith("redis"):
            client = app.broker_connection().default_channel.client
            wait_for(lambda: not client.hlen("unacked"), 2, "all messages to be acknowledged")
    worker.signal(SIGTERM)
    assert worker.wait() == 0
    # What was not acknowledged has gone back by now.
    assert ready_messages(scene.broker) == 0
    for number in range(RUNS):
        assert scene.items(f"r{number}") == list(range(1, ITEMS + 1))


@pytest.mark.parametrize("task", ["counted", "plain", "large"])
def test_a_stop_of_a_busy_queue_is_no_slower(scene: Scene, task: str) -> None:
    """Celery alone forgets the job that was just sent to a child, which then waits for 30 s."""
    with scene.producer() as app:
        send = signatures(app, "verbs")
        runs = [
            send("counted", 1, tag=f"r{i}") if task == "counted" else send(task)
            for i in range(STOPS * RUNS)
        ]
        results = [run.apply_async() for run in runs]
        for stop in range(1, STOPS):
            worker = scene.worker(concurrency=1)
            results[stop * RUNS - stop].get(timeout=30)
            worker.signal(SIGTERM)
            assert worker.wait(10) == 0
        scene.worker()
        for result in results:
            result.get(timeout=30)
    if task == "counted":
        for number in range(STOPS * RUNS):
            assert scene.items(f"r{number}") == [1]

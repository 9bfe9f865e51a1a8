"""A busy queue of short runs: every message is acknowledged, and a stop is no slower."""

from __future__ import annotations

import array
import fcntl
import os
import termios
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP, SIGTERM
from typing import Any

import pytest
from celery import Celery
from kombu import Connection

from tests.acceptance.scene import Scene, StartWorker, signatures
from tests.harness import Ledger, wait_for
from tests.selection import rows

pytestmark = pytest.mark.slow

RUNS, ITEMS, STOPS = 60, 3, 3


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


@pytest.mark.parametrize(
    ("broker_url", "children"),
    rows([("redis", 1), ("rabbitmq", 2)], [("redis", 2), ("rabbitmq", 1)]),
    indirect=["broker_url"],
)
def test_no_message_of_a_short_run_is_left(scene: Scene, children: int) -> None:
    worker = scene.worker(concurrency=children)
    with scene.producer() as app:
        runs = [signatures(app, "verbs")("counted", ITEMS, tag=f"r{i}") for i in range(RUNS)]
        for result in [run.apply_async() for run in runs]:
            result.get(timeout=30)
        if scene.broker.startswith("redis"):
            client = app.broker_connection().default_channel.client
            wait_for(lambda: not client.hlen("unacked"), 20, "all messages to be acknowledged")
    worker.signal(SIGTERM)
    assert worker.wait() == 0
    # What was not acknowledged has gone back by now.
    assert ready_messages(scene.broker) == 0
    for number in range(RUNS):
        assert scene.items(f"r{number}") == list(range(1, ITEMS + 1))


@pytest.mark.parametrize(
    "task", ["counted", "large", pytest.param("plain", marks=pytest.mark.matrix)]
)
def test_a_stop_of_a_busy_queue_is_no_slower(scene: Scene, task: str) -> None:
    """Celery 5.6 and 5.7 forget the job that was just sent to a child, which then waits 30 s."""
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
            assert worker.wait(20) == 0
        scene.worker()
        for result in results:
            # Not by ``get``: Celery 5.6 takes a second for one that is there already.
            wait_for(result.ready, 30)
            assert result.successful()
    if task == "counted":
        for number in range(STOPS * RUNS):
            assert scene.items(f"r{number}") == [1]


def active(app: Celery) -> int | None:
    """How many tasks the only worker believes to be under way; ``None``: it did not answer."""
    answers = app.control.inspect(timeout=1, limit=1).active() or {}
    return next((len(tasks) for tasks in answers.values()), None)


def unread(pid: int) -> int:
    """How many bytes wait in the pipes that a process may read."""
    total = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        if not os.readlink(entry).startswith("pipe:"):
            continue
        with suppress(OSError):  # its writing end
            end = os.open(entry, os.O_RDONLY | os.O_NONBLOCK)
            waiting = array.array("i", [0])
            fcntl.ioctl(end, termios.FIONREAD, waiting)
            os.close(end)
            total += waiting[0]
    return total


def test_a_job_that_was_just_sent_is_not_forgotten(scene: Scene) -> None:
    """The child is frozen while its job is written, and accepts it when the stop has begun."""
    worker = scene.worker("-l", "DEBUG", concurrency=1)
    with scene.producer() as app:
        send = signatures(app, "verbs")
        send("counted", 1, tag="first").apply_async().get(timeout=30)
        (child,) = worker.children()
        wait_for(lambda: active(app) == 0, 30, "the worker to know that its child is idle")
        os.kill(child, SIGSTOP)
        result = send("counted", 1, tag="second").apply_async()
        wait_for(lambda: unread(child), 30, "the job to be written to the child")
        worker.signal(SIGTERM)
        worker.wait_log("Worker: Closing")
        os.kill(child, SIGCONT)
        assert worker.wait(20) == 0
        scene.worker(concurrency=1)
        assert result.get(timeout=30) == 1
    assert scene.items("second") == [1]

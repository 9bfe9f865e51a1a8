"""A second delivery of a run that is under way is dropped, and its expiry no longer matters."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGTERM
from typing import Any

import pytest
from celery import Celery
from celery.result import AsyncResult

from tests.acceptance.scene import (
    Scene,
    StartWorker,
    States,
    add_consumer,
    recorded_states,
    signatures,
)
from tests.acceptance.test_acknowledge import ready_messages
from tests.acceptance.test_verbs import redeliver
from tests.harness import Ledger, Worker, wait_for
from tests.servers import RabbitMQ, Valkey

pytestmark = pytest.mark.slow

#: Seconds that RabbitMQ lets a message be held, and that a run lasts.
TIMEOUT, LASTS = 2.0, 6.0
ITEMS = 90
DROPPED = "dropped a duplicate message"


def make_scene(broker: str, backend: str, ledger: Ledger, start_worker: StartWorker) -> Scene:
    scene = Scene("held", broker, backend, ledger, start_worker)
    scene.settings = {"graceful_store": backend, "task_track_started": True}
    return scene


@pytest.fixture
def scene(broker_url: str, redis_url: str, ledger: Ledger, start_worker: StartWorker) -> Scene:
    return make_scene(broker_url, redis_url, ledger, start_worker)


@pytest.fixture
def rabbit(rabbitmq_url: str, redis_url: str, ledger: Ledger, start_worker: StartWorker) -> Scene:
    return make_scene(rabbitmq_url, redis_url, ledger, start_worker)


@pytest.fixture
def impatient(
    rabbitmq_server: RabbitMQ, redis_url: str, ledger: Ledger, start_worker: StartWorker
) -> Iterator[Scene]:
    with rabbitmq_server.consumer_timeout(TIMEOUT), rabbitmq_server.vhost() as url:
        yield make_scene(url, redis_url, ledger, start_worker)


@contextmanager
def a_run(
    scene: Scene, lasts: float = LASTS, **options: Any
) -> Iterator[tuple[Celery, AsyncResult[Any], States]]:
    """A run that has begun, with ``options`` of its message."""
    with scene.producer() as app, recorded_states(scene.backend) as states:
        result = signatures(app, "held")("run", ITEMS, lasts / ITEMS).apply_async(**options)
        wait_for(lambda: scene.items(result.id), 20, "the first item")
        yield app, result, states


def check_ended_once(
    scene: Scene, result: AsyncResult[Any], states: States, executions: int = 1
) -> None:
    """The right result, each item once, and all that was told of it in order."""
    assert result.get(timeout=4 * LASTS) == ITEMS
    assert scene.items(result.id) == list(range(1, ITEMS + 1))
    states.check_final(result.id)
    assert states.of(result.id).count("STARTED") == executions
    assert scene.ledger.counts()[f"begun {result.id}"] == executions


def check_nothing_is_left(scene: Scene, *workers: Worker) -> None:
    """No copy of the message stays behind, neither in the queue nor delivered."""
    with scene.producer() as app:

        def idle() -> bool:
            asked = app.control.inspect(timeout=2, limit=len(workers))
            answers = [asked.active() or {}, asked.reserved() or {}]
            return all(len(a) == len(workers) and not any(a.values()) for a in answers)

        wait_for(lambda: idle() and not ready_messages(scene.broker), 30, "all copies to be gone")
    for worker in workers:
        worker.signal(SIGTERM)
    for worker in workers:
        assert worker.wait(60) == 0
    assert ready_messages(scene.broker) == 0  # what was not acknowledged has gone back by now


def received(scene: Scene, result: AsyncResult[Any]) -> int:
    return scene.ledger.counts()[f"received {result.id}"]


# -- RabbitMQ --------------------------------------------------------------------------------


@pytest.mark.rabbitmq
@pytest.mark.parametrize("children", [pytest.param(1, marks=pytest.mark.matrix), 2])
def test_the_consumer_timeout_closes_the_channel(impatient: Scene, children: int) -> None:
    """With a free child the copy is dropped at once, else when the run has ended."""
    impatient.settings["broker_channel_error_retry"] = True
    worker = impatient.worker(concurrency=children)
    began = time.monotonic()
    with a_run(impatient) as (_, result, states):
        check_ended_once(impatient, result, states)
        lasted = time.monotonic() - began
        assert worker.log().count("PRECONDITION_FAILED") >= 1
        worker.wait_log(rf"\[{result.id}\].*{DROPPED}")
        assert 2 <= received(impatient, result) <= 2 + lasted / TIMEOUT
    check_nothing_is_left(impatient, worker)


@pytest.mark.rabbitmq
def test_the_consumer_timeout_ends_the_worker(impatient: Scene) -> None:
    """What Celery does unless told otherwise: the run is handed over like at any stop."""
    worker = impatient.worker(concurrency=1)
    with a_run(impatient) as (_, result, states):
        worker.wait_log("Unrecoverable error.*PRECONDITION_FAILED", 20)
        # Its end is not waited for: now and then py-amqp waits for an answer on the closed
        # channel until the server misses the heartbeats.
        worker.wait_log(rf"\[{result.id}\].*was interrupted", 20)
        impatient.settings["broker_channel_error_retry"] = True
        second = impatient.worker(concurrency=2)
        wait_for(lambda: impatient.ledger.counts()[f"begun {result.id}"] == 2, 20, "the resumption")
        impatient.ledger.add("hurry")
        check_ended_once(impatient, result, states, executions=2)
    check_nothing_is_left(impatient, second)


@pytest.mark.rabbitmq
def test_connections_are_closed_by_the_server(rabbit: Scene, rabbitmq_server: RabbitMQ) -> None:
    worker = rabbit.worker()
    other = rabbit.worker()
    with a_run(rabbit) as (_, result, states):
        for times in (1, 2, 3):
            rabbitmq_server.close_connections()
            for each in (worker, other):
                wait_connected(each, times + 1)
            wait_for(lambda: dropped(result, worker, other) >= 1, 20, "the copy to be dropped")
        rabbit.ledger.add("hurry")
        check_ended_once(rabbit, result, states)
        assert received(rabbit, result) <= 10  # one closing may meet both workers, and more
    check_nothing_is_left(rabbit, worker, other)


def wait_connected(worker: Worker, times: int) -> None:
    def often() -> bool:
        assert worker.exit_code is None, worker.log()[-3000:]
        return worker.log().count(" Connected to ") >= times

    wait_for(often, 20, lambda: f"connection {times} of {worker.name}\n{worker.log()[-3000:]}")


def dropped(result: AsyncResult[Any], *workers: Worker) -> int:
    """How many copies of the run's message were dropped."""
    lines = [line for worker in workers for line in worker.log().splitlines()]
    return sum(f"[{result.id}]" in line and DROPPED in line for line in lines)


# -- Redis -----------------------------------------------------------------------------------


@pytest.mark.core
def test_redis_restarts(
    own_valkey: Valkey, redis_url: str, ledger: Ledger, start_worker: StartWorker
) -> None:
    """Celery 5.7.0 alone ends a worker that holds a message then."""
    scene = make_scene(own_valkey.url, redis_url, ledger, start_worker)
    worker = scene.worker()
    with a_run(scene) as (_, result, states):
        own_valkey.restart(keep_data=True)
        wait_connected(worker, 2)
        wait_for(lambda: scene.items(result.id)[-1] > 45, 30, "more items")
        scene.ledger.add("hurry")
        check_ended_once(scene, result, states, executions=1)


# -- expires ---------------------------------------------------------------------------------


def wait_expired(moment: dt.datetime) -> None:
    wait_for(lambda: dt.datetime.now(dt.timezone.utc) > moment, 20, "the expiry")


def soon(seconds: float) -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=seconds)


def revoked_ids(app: Celery) -> set[str]:
    answers = wait_for(lambda: app.control.inspect(timeout=2).revoked(), 30, "an answer")
    assert answers
    return {task_id for ids in answers.values() for task_id in ids}


@pytest.mark.brokers("redis", "rabbitmq")
def test_a_run_expires_neither_as_it_runs_nor_as_a_copy_comes(scene: Scene) -> None:
    worker = scene.worker()
    moment, lasts = soon(6), 3 * LASTS
    with a_run(scene, lasts, expires=moment) as (app, result, states):
        wait_expired(moment)
        done = len(scene.items(result.id))
        copy = signatures(app, "held")("run", ITEMS, lasts / ITEMS)
        # RabbitMQ itself drops an expired message: the copy says it by its header alone.
        headers = {"expires": moment.isoformat()}
        redeliver(scene, copy, task_id=result.id, headers=headers)
        add_consumer(app, "aside", worker)
        worker.wait_log(rf"\[{result.id}\].*{DROPPED}")
        assert result.id not in revoked_ids(app)
        wait_for(lambda: len(scene.items(result.id)) > done, 10, "more items")
        # The id is as good as before: the run goes on in the worker that saw the copy.
        scene.ledger.add("hurry")
        check_ended_once(scene, result, states)
        assert "REVOKED" not in states.of(result.id)
    check_nothing_is_left(scene, worker)


@pytest.mark.brokers("rabbitmq")
def test_a_run_does_not_expire_between_two_workers(scene: Scene) -> None:
    first = scene.worker()
    moment = soon(10)
    with a_run(scene, expires=moment) as (app, result, states):
        first.signal(SIGTERM)
        first.wait_log(rf"\[{result.id}\].*was interrupted")
        assert dt.datetime.now(dt.timezone.utc) < moment, "too slow: it expired before"
        assert first.wait() == 0
        wait_expired(moment)
        second = scene.worker()
        wait_for(lambda: scene.ledger.counts()[f"begun {result.id}"] == 2, 20, "the resumption")
        assert result.id not in revoked_ids(app)
        scene.ledger.add("hurry")
        check_ended_once(scene, result, states, executions=2)
        assert "REVOKED" not in states.of(result.id)
    check_nothing_is_left(scene, second)

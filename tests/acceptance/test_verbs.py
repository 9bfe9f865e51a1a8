"""Celery's own verbs and signals on a run: revoke, limits, duplicates, states, events."""

from __future__ import annotations

import time
from contextlib import suppress
from signal import SIGTERM
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import TaskRevokedError, TimeLimitExceeded
from celery.result import AsyncResult
from kombu import Connection

from celery_graceful.errors import MaxCrashesExceeded
from celery_graceful.model.run.record import Outcome, State
from tests.acceptance.scene import (
    Scene,
    StartWorker,
    add_consumer,
    recorded_states,
    signatures,
    wait_listening,
)
from tests.harness import Ledger, wait_for

pytestmark = pytest.mark.slow

ENDLESS, COUNTED, WAITS, STUCK = (
    f"verbs.{name}" for name in ("endless", "counted", "waits", "stuck")
)


@pytest.fixture
def scene(broker_url: str, redis_url: str, ledger: Ledger, start_worker: StartWorker) -> Scene:
    scene = Scene("verbs", broker_url, redis_url, ledger, start_worker)
    # Short leases: what were wrongly left to a rescuer would be rescued within the test.
    scene.settings = {
        "graceful_store": redis_url,
        "graceful_lease_ttl": 1,
        "graceful_rescue_interval": 0.2,
    }
    return scene


def check_stays_ended(scene: Scene, app: Celery, tag: str, seconds: float = 2.5) -> None:
    """Nobody takes the run up while another one is carried for longer than two leases."""
    other = f"after-{tag}"
    witness = signatures(app, "verbs")("counted", int(seconds / 0.005), tag=other).apply_async()
    # A child that got SIGTERM has finished its item by then.
    wait_for(lambda: scene.items(other), 30, "the child to be free")
    done = scene.items(tag)
    witness.get(timeout=30)
    assert scene.items(tag) == done


def check_revoked(scene: Scene, result: AsyncResult[Any], task: str = ENDLESS) -> None:
    with pytest.raises(TaskRevokedError):
        result.get(timeout=30)
    assert str(result.state) == "REVOKED"
    assert scene.wait_outcome(task, result.id) is Outcome.CANCELLED


@pytest.mark.core
@pytest.mark.parametrize("terminate", [False, True])
def test_a_revoked_run_ends_and_is_not_resumed(scene: Scene, terminate: bool) -> None:
    worker = scene.worker(concurrency=1)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        result = signatures(app, "verbs")("endless", tag="run", until="never").apply_async()
        scene.wait_carried(worker, ["run"])
        result.revoke(terminate=terminate)
        check_revoked(scene, result)
        check_stays_ended(scene, app, "run")
        states.check_final(result.id)
    counts = scene.ledger.counts()
    assert counts[f"task_revoked={result.id}"] == 1
    assert counts[f"task_success={result.id}"] == counts[f"task_failure={result.id}"] == 0
    assert counts["run!cancelled"] == (0 if terminate else 1)
    scene.check_items("run")


def test_a_run_that_was_handed_over_can_be_revoked(scene: Scene) -> None:
    scene.settings["graceful_lease_ttl"] = 30
    first = scene.worker(concurrency=1)
    with scene.producer() as app:
        result = signatures(app, "verbs")("endless", tag="run", until="never").apply_async()
        scene.wait_carried(first, ["run"])
        first.signal(SIGTERM)
        first.wait()
        done = scene.items("run")
        record = scene.record(ENDLESS, result.id)
        assert record is not None
        assert record.state is State.INTERRUPTED
        # A worker that hears of the revoke before it gets the message.
        second = scene.worker("-Q", "elsewhere", concurrency=1)
        wait_listening(app, second)
        result.revoke()
        second.wait_log("flagged as revoked")
        add_consumer(app, "celery", second)
        check_revoked(scene, result)
        assert scene.items("run") == done


def test_a_run_that_waits_for_a_retry_can_be_revoked(scene: Scene) -> None:
    worker = scene.worker(concurrency=1)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        result = signatures(app, "verbs")("waits", 5, tag="run").apply_async()
        wait_for(lambda: result.state == "RETRY", 20, "the retry")
        result.revoke()
        worker.wait_log("flagged as revoked")
        check_revoked(scene, result, WAITS)
        check_stays_ended(scene, app, "run")
        states.check_final(result.id)
    assert scene.items("run") == [1, 2, 3]


def test_a_hard_time_limit_ends_the_run(scene: Scene) -> None:
    scene.worker(concurrency=1)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        make = signatures(app, "verbs")
        result = make("stuck", tag="run", times=1).apply_async(
            time_limit=3, link_error=make("tell_error", "error")
        )
        with pytest.raises(TimeLimitExceeded):
            result.get(timeout=40)
        assert scene.wait_outcome(STUCK, result.id) is Outcome.FAILED
        check_stays_ended(scene, app, "run")
        states.check_final(result.id)
    assert scene.items("run") == [1, 2, 3, 4, 5]
    assert scene.ledger.counts()["error=TimeLimitExceeded"] == 1


def test_a_hard_time_limit_whose_message_goes_back(scene: Scene) -> None:
    """One run is stuck once and goes on, another is stuck for ever and fails in the end."""
    scene.settings["task_acks_on_failure_or_timeout"] = False
    scene.settings["graceful_max_crashes"] = 2
    scene.worker(concurrency=2)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        make = signatures(app, "verbs")
        once = make("stuck", tag="once", times=1).apply_async(time_limit=2)
        for_ever = make("stuck", tag="ever", times=99).apply_async(time_limit=2)
        assert once.get(timeout=60) == "done"
        with pytest.raises(MaxCrashesExceeded):
            for_ever.get(timeout=60)
        assert scene.wait_outcome(STUCK, once.id) is Outcome.COMPLETED
        assert scene.wait_outcome(STUCK, for_ever.id) is Outcome.FAILED
        check_stays_ended(scene, app, "ever")
        assert states.check_final(once.id) == "SUCCESS"
        assert states.check_final(for_ever.id) == "FAILURE"
    assert set(scene.items("once")) == set(range(1, 11))


def test_a_soft_time_limit_in_an_item_is_retried_by_autoretry(scene: Scene) -> None:
    scene.worker(concurrency=1)
    with scene.producer() as app:
        result = signatures(app, "verbs")("stuck", tag="run", times=2).apply_async(
            soft_time_limit=3
        )
        assert result.get(timeout=60) == "done"
    assert scene.items("run") == list(range(1, 11))


def test_a_run_may_last_longer_than_its_time_limit(scene: Scene) -> None:
    scene.worker(concurrency=1)
    with scene.producer() as app:
        result = signatures(app, "verbs")("counted", 1200, tag="run").apply_async(time_limit=6)
        assert result.get(timeout=120) == 1200
    scene.check_items("run")
    assert scene.ledger.counts()[f"task_prerun={result.id}"] >= 2


@pytest.mark.core
@pytest.mark.brokers("rabbitmq")
def test_a_duplicate_of_a_run_under_way_is_dropped(scene: Scene) -> None:
    scene.settings["task_track_started"] = True
    worker = scene.worker(concurrency=2)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        run = signatures(app, "verbs")("endless", tag="run", until="enough")
        result = run.apply_async(task_id="the-run")
        scene.wait_carried(worker, ["run"])
        for _ in range(3):
            run.apply_async(task_id="the-run")
        wait_for(lambda: worker.log().count("dropped a duplicate message") == 3, 10, "three drops")
        scene.ledger.add("enough")
        assert result.get(timeout=20) == "run"
        worker.signal(SIGTERM)
        worker.wait()
        states.check_final("the-run")
        assert states.of("the-run").count("STARTED") == 1
    scene.check_items("run")
    assert len({e.pid for e in scene.ledger.entries() if str(e.item).startswith("run:")}) == 1


def redeliver(scene: Scene, run: Any, **options: Any) -> None:
    """Send a copy of a run's message, and have the broker deliver it for the second time."""
    run.apply_async(queue="aside", **options)
    with Connection(scene.broker) as connection:
        queue = connection.SimpleQueue("aside")
        message = queue.get(timeout=30)
        message.requeue()
        queue.close()


@pytest.mark.brokers("redis", "rabbitmq")
def test_a_redelivery_after_the_end_is_dropped_and_a_used_id_starts_anew(scene: Scene) -> None:
    worker = scene.worker(concurrency=1)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        run = signatures(app, "verbs")("counted", 20, tag="run")
        result = run.apply_async(task_id="the-run")
        assert result.get(timeout=20) == 20
        assert scene.wait_outcome(COUNTED, "the-run") is Outcome.COMPLETED
        redeliver(scene, run, task_id="the-run")
        add_consumer(app, "aside", worker)
        worker.wait_log("dropped a duplicate message: the run has ended")
        assert states.of("the-run")[-1] == "SUCCESS"
        states.check_final("the-run")
        scene.check_items("run")
        result.forget()
        assert run.apply_async(task_id="the-run").get(timeout=20) == 20
        assert scene.wait_outcome(COUNTED, "the-run") is Outcome.COMPLETED
    assert scene.items("run") == [*range(1, 21), *range(1, 21)]


def test_signals_are_per_execution_and_success_is_per_run(scene: Scene) -> None:
    scene.settings["task_track_started"] = True
    worker = scene.worker(concurrency=1)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        result = signatures(app, "verbs")("measured", 200, tag="run").apply_async()
        assert result.get(timeout=30) == 200
        worker.signal(SIGTERM)
        worker.wait()
        states.check_final(result.id)
        metas = states.metas(result.id)
    counts = scene.ledger.counts()
    executions = counts[f"task_prerun={result.id}"]
    assert executions >= 3
    assert counts[f"task_postrun={result.id}"] == executions
    assert counts[f"task_success={result.id}"] == 1
    assert counts[f"task_failure={result.id}"] == 0
    assert metas[0]["status"] == "STARTED"
    assert {meta["status"] for meta in metas} == {"STARTED", "PROGRESS", "SUCCESS"}
    progress = [meta["result"] for meta in metas if meta["status"] == "PROGRESS"]
    assert progress
    for seen in progress:
        assert seen["total"] == 200
        assert 0 < seen["current"] <= 200
        assert seen["percent"] == pytest.approx(seen["current"] / 2)
    assert [seen["current"] for seen in progress] == sorted(seen["current"] for seen in progress)


def test_events_tell_of_a_run(scene: Scene) -> None:
    scene.worker("-E", concurrency=1)
    seen: list[str] = []
    with scene.producer() as app, app.connection_for_read() as connection:
        receiver = app.events.Receiver(
            connection, handlers={"*": lambda event: seen.append(told(event))}
        )
        with receiver.consumer_context() as (listening, _, _):
            while not seen:  # a heartbeat: from now on nothing is missed
                drain(listening)
            result = signatures(app, "verbs")("measured", 100, tag="run").apply_async()
            deadline = time.monotonic() + 20
            while f"task-succeeded={result.id}" not in seen and time.monotonic() < deadline:
                drain(listening)
        assert result.get(timeout=10) == 100
    assert seen.count(f"task-succeeded={result.id}") == 1
    assert seen.count(f"task-received={result.id}") == seen.count(f"task-started={result.id}") >= 2
    assert not [event for event in seen if event.startswith(("task-failed", "task-revoked"))]


def drain(connection: Any) -> None:
    with suppress(TimeoutError):
        connection.drain_events(timeout=0.2)


def told(event: dict[str, Any]) -> str:
    return f"{event['type']}={event.get('uuid')}"


def test_plain_tasks_are_left_alone(scene: Scene) -> None:
    scene.worker(concurrency=1)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        result = signatures(app, "verbs")("plain").apply_async()
        assert result.get(timeout=10) == "plain"
        assert states.of(result.id) == ["SUCCESS"]

"""Retries go on at the failed item, are never lost, and end with the original error."""

from __future__ import annotations

from collections.abc import Callable
from signal import SIGTERM
from typing import Any

import pytest
from celery import Celery
from celery.result import AsyncResult

from celery_graceful.model.run.events import Admit
from celery_graceful.model.run.record import Outcome, State
from celery_graceful.model.run.verdict import Verdict
from tests.acceptance.scene import Scene, StartWorker, recorded_states, signatures
from tests.harness import Ledger, wait_for
from tests.servers.valkey import Valkey

pytestmark = pytest.mark.slow


@pytest.fixture
def scene(broker_url: str, redis_url: str, ledger: Ledger, start_worker: StartWorker) -> Scene:
    scene = Scene("retrying", broker_url, redis_url, ledger, start_worker)
    scene.settings = {"graceful_store": redis_url, "graceful_lease_ttl": 3}
    return scene


def sender(app: Celery) -> Callable[..., AsyncResult[Any]]:
    """A function that sends a task with a callback and an errback."""
    make = signatures(app, "retrying")

    def send(name: str, *args: Any, tag: str, **kwargs: Any) -> AsyncResult[Any]:
        result: AsyncResult[Any] = make(name, *args, tag=tag, **kwargs).apply_async(
            link=make("tell", f"{tag}-link"), link_error=make("tell_error", f"{tag}-error")
        )
        return result

    return send


def told(scene: Scene) -> dict[str, int]:
    """What the callbacks and errbacks have noted, and how often."""
    return {item: n for item, n in scene.ledger.counts().items() if "-" in item}


def tries(scene: Scene, tag: str) -> list[int]:
    """How often each item of a run was tried."""
    counts = scene.ledger.counts()
    items = {item: n for item, n in counts.items() if str(item).startswith(f"{tag}?")}
    return [n for _, n in sorted(items.items(), key=lambda pair: int(pair[0].partition("?")[2]))]


@pytest.mark.core
def test_a_retry_goes_on_at_the_failed_item(scene: Scene) -> None:
    scene.worker(concurrency=2)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        send = sender(app)
        # Four failures with two retries at most: an item in between gives the budget back.
        auto = send("auto", 8, tag="auto", at=[3, 6], times=2)
        cls = send("auto_class", 8, tag="cls", at=[3, 6], times=2)
        asks = send("asks", 8, tag="asks", at=4, times=2)
        asks_cls = send("asks_class", 8, tag="askscls", at=4, times=2)
        assert [r.get(timeout=40) for r in (auto, cls, asks, asks_cls)] == [8, 36, 8, 8]
        wait_for(lambda: len(told(scene)) == 4, 10, "four callbacks")
        states.check_finals({"SUCCESS"})
        for result in (auto, cls):
            assert states.of(result.id).count("RETRY") == 4
    assert told(scene) == {
        "auto-link=8": 1,
        "cls-link=36": 1,
        "asks-link=8": 1,
        "askscls-link=8": 1,
    }
    for tag in ("auto", "cls"):
        assert tries(scene, tag) == [1, 1, 3, 1, 1, 3, 1, 1]
    for tag in ("asks", "askscls"):
        assert tries(scene, tag) == [1, 1, 1, 3, 1, 1, 1, 1]
    for tag in ("auto", "cls", "asks", "askscls"):
        scene.check_items(tag)


def test_exhausted_retries_fail_with_the_original_error(scene: Scene) -> None:
    scene.worker(concurrency=2)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        send = sender(app)
        auto = send("auto", 8, tag="auto", at=[3], times=99)
        asks = send("asks_class", 8, tag="asks", at=3, times=99)
        with pytest.raises(OSError, match="item 3 of auto"):
            auto.get(timeout=40)
        with pytest.raises(KeyError, match="item 3"):
            asks.get(timeout=40)
        wait_for(lambda: len(told(scene)) == 2, 10, "two errbacks")
        states.check_finals({"FAILURE"})
        assert scene.wait_outcome("retrying.auto", auto.id) is Outcome.FAILED
        assert scene.wait_outcome("retrying.asks_class", asks.id) is Outcome.FAILED
    # The first execution made progress and gave its budget back; two retries followed.
    assert tries(scene, "auto") == [1, 1, 3]
    assert tries(scene, "asks") == [1, 1, 3]
    assert sorted(told(scene).values()) == [1, 1]
    assert all("item 3" in item for item in told(scene))


@pytest.mark.brokers("redis", "rabbitmq")
def test_a_retry_in_a_stopping_worker_is_taken_by_the_next(scene: Scene) -> None:
    first = scene.worker(concurrency=1)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        result = sender(app)("when_told", tag="run", on="stop")
        scene.wait_carried(first, ["run"])
        scene.worker(concurrency=1)
        first.signal(SIGTERM)
        scene.ledger.add("stop")
        assert result.get(timeout=20) == "done"
        assert first.wait() == 0
        states.check_finals({"SUCCESS"})
    scene.check_items("run")


def test_a_retry_that_cannot_be_published_is_not_lost(
    own_valkey: Valkey, redis_url: str, ledger: Ledger, start_worker: StartWorker
) -> None:
    scene = Scene("retrying", own_valkey.url, redis_url, ledger, start_worker)
    scene.settings = {
        "graceful_store": redis_url,
        "graceful_lease_ttl": 2,
        "task_publish_retry": False,
    }
    worker = scene.worker(concurrency=1)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        result = sender(app)("when_told", tag="run", on="away")
        scene.wait_carried(worker, ["run"])
        own_valkey.kill()
        ledger.add("away")
        worker.wait_log("the retry could not be published")
        own_valkey.start()
        assert result.get(timeout=40) == "done"
        wait_for(lambda: told(scene) == {"run-link=done": 1}, 10, "the callback")
        states.check_finals({"SUCCESS"})
    scene.check_items("run")


def test_ignore_reject_and_replace_in_the_body(scene: Scene) -> None:
    scene.worker(concurrency=2)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        send = sender(app)
        ignored = send("raises", "ignore", tag="ignore")
        rejected = send("raises", "reject", tag="reject")
        requeued = send("raises", "requeue", tag="requeue")
        replaced = send("raises", "replace", tag="replace")
        assert requeued.get(timeout=20) == "done"
        with pytest.raises(Exception, match="cannot be replaced"):
            replaced.get(timeout=20)
        name = "retrying.raises"
        assert scene.wait_outcome(name, ignored.id) is Outcome.COMPLETED
        assert scene.wait_outcome(name, rejected.id) is Outcome.FAILED
        assert scene.wait_outcome(name, replaced.id) is Outcome.FAILED
        assert scene.wait_outcome(name, requeued.id) is Outcome.COMPLETED
        assert states.of(ignored.id)[-1] == "CUSTOM"
        # Celery 5.7 calls it FAILURE, and tells errbacks; older ones leave the state alone.
        assert states.of(rejected.id) in (["FAILURE"], [])
        wait_for(lambda: told(scene).get("requeue-link=done"), 10, "the callback")
    for tag in ("ignore", "reject", "requeue", "replace"):
        scene.check_items(tag)
    assert set(told(scene).values()) == {1}


def saved(scene: Scene, task: str, task_id: str) -> bool:
    """Whether the run has saved a checkpoint."""
    record = scene.record(task, task_id)
    return record is not None and record.steps > 0


@pytest.mark.parametrize(
    ("task", "how"), [("late", "fail"), ("late", "retry"), ("late_auto", "fail")]
)
def test_a_execution_that_lost_its_run_fails_without_a_trace(
    scene: Scene, task: str, how: str
) -> None:
    scene.settings["graceful_lease_ttl"] = 60
    worker = scene.worker(concurrency=1)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        result = sender(app)(task, how, tag="run")
        scene.wait_carried(worker, ["run"])
        wait_for(lambda: saved(scene, f"retrying.{task}", result.id), 10, "a checkpoint")
        # Another worker takes it up, as after a rescue.
        taken = scene.happen(f"retrying.{task}", result.id, Admit(generation=1, owner="another"))
        assert taken.verdict is Verdict.RESUME
        scene.ledger.add("fail")
        worker.wait_log("this execution ends without a trace")
        worker.signal(SIGTERM)
        worker.wait()
        assert set(states.of(result.id)) <= {"PROGRESS"}
        record = scene.record(f"retrying.{task}", result.id)
        assert record is not None
        assert (record.state, record.owner) == (State.RUNNING, "another")
    assert not told(scene)

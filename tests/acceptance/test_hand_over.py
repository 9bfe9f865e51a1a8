"""The grace period is nearly over: what still runs is given back, or reported lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from signal import SIGTERM
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery import chord, signature

from tests.acceptance.cutting import GRACE, MARGIN, SETTINGS, Cut
from tests.acceptance.scene import Scene
from tests.harness import Ledger, Worker, wait_for
from tests.servers.proxy import proxy

pytestmark = pytest.mark.slow

#: The cut comes after twenty seconds: what is done before has been done in time.
LONG_GRACE = 30.0


@pytest.mark.core
@pytest.mark.brokers("redis", "rabbitmq")
def test_what_is_cut_off_is_given_back_or_reported(cut: Cut) -> None:
    worker = cut.scene.worker(concurrency=3)
    tell = signature("cut.tell", immutable=True)
    lost = cut.send("early", "early", link_error=tell)
    late = cut.send("late", "late")
    prompt = cut.send("prompt", "prompt")  # ends by itself when it is told
    for tag in ("early", "late", "prompt"):
        cut.noted(f"{tag} begins")
    waiting = cut.scene.worker()
    events: set[str] = set()
    with cut.app.connection() as connection:
        handlers = {"*": lambda event: events.add(event["type"])}
        receiver: Any = cut.app.events.Receiver(connection, handlers=handlers)
        with receiver.consumer_context() as (own, _, _):
            wait_for(lambda: told(own, events, "worker-heartbeat"), 30, "to be subscribed")
            worker.signal(SIGTERM)
            wait_for(
                lambda: told(own, events, "task-lost", "task-handed-back"),
                GRACE,
                lambda: f"{events} {worker.log()}",
            )
    assert worker.wait() == 0
    cut.noted("late begins", times=2)
    cut.enough("late")
    assert late.get(timeout=20) == "late"
    with pytest.raises(Exception, match="cut off after"):
        lost.get(timeout=20)
    cut.noted("errback")
    log, items = worker.log(), cut.ledger.items()
    assert prompt.get(timeout=20) == "prompt told"
    assert f"Handed back cut.late[{late.id}]: cut off after" in log
    assert "The time is over: 1 task given back, 1 lost" in log
    assert f"cut.prompt[{prompt.id}]: cut off after" not in log
    assert f"Lost cut.early[{lost.id}] args=('early',) kwargs={{}}: cut off after" in log
    assert f"signal lost cut.early[{lost.id}] args=('early',) kwargs={{}}" in items
    assert f"signal handed back cut.late[{late.id}]" in items
    assert items.count("late finally") == 2
    assert items.count("early begins") == 1
    assert f"cut.early[{lost.id}]" in log.partition("until tasks are cut off; still running:")[2]
    waiting.signal(SIGTERM)
    assert waiting.wait() == 0


def told(connection: Any, events: set[str], *wanted: str) -> bool:
    with suppress(TimeoutError):
        connection.drain_events(timeout=0.1)
    return events.issuperset(wanted)


@pytest.mark.brokers("rabbitmq")
def test_a_task_that_swallows_it_all_is_killed_and_given_back(cut: Cut) -> None:
    worker, tag = cut.scene.worker(), "stubborn"
    result = cut.send("stubborn", tag)
    cut.noted("stubborn begins")
    waiting = cut.scene.worker()
    worker.signal(SIGTERM)
    cut.noted("stubborn begins", times=2)
    assert "stubborn swallowed" in cut.ledger.items()
    assert worker.wait(GRACE) == 0
    cut.enough(tag)
    assert result.get(timeout=20) == tag
    assert f"Handed back cut.stubborn[{result.id}]" in worker.log()
    waiting.signal(SIGTERM)
    assert waiting.wait() == 0


def test_a_task_that_has_stored_its_result_is_not_lost_and_a_revoked_one_stays_so(
    cut_on_redis: Cut,
) -> None:
    cut = cut_on_redis
    worker = cut.scene.worker(concurrency=3)
    header = [signature("cut.late", ("late",)), signature("cut.early", ("lingers",))]
    result = chord(header, app=cut.app)(signature("cut.tell", app=cut.app))
    revoked = cut.send("stubborn", "stubborn")
    cut.noted("late begins")
    cut.noted("stubborn begins")
    cut.enough("lingers")
    cut.noted("lingers postrun")
    cut.app.control.revoke(revoked.id, terminate=True)
    cut.noted("stubborn swallowed")
    waiting = cut.scene.worker()
    worker.signal(SIGTERM)
    cut.noted("late begins", times=2)
    assert worker.wait() == 0
    assert "1 task given back, 0 lost" in worker.log()
    assert f"Ended cut.stubborn[{revoked.id}]" in worker.log()
    assert f"Lost cut.stubborn[{revoked.id}]" not in worker.log()
    assert cut.app.AsyncResult(revoked.id).state == "REVOKED"
    assert "errback" not in cut.ledger.items(), "the chord waits for its other member"
    cut.enough("late")
    result.get(timeout=20)
    waiting.signal(SIGTERM)
    assert waiting.wait() == 0


def test_what_ends_in_time_is_not_touched_and_time_limits_hold(cut: Cut) -> None:
    cut.scene.settings["graceful_grace_period"] = LONG_GRACE
    worker = cut.scene.worker()
    result, limited = cut.send("early", "early"), cut.send("limited", "limited")
    cut.noted("early begins")
    cut.noted("limited begins")
    worker.signal(SIGTERM)
    worker.wait_log(r"Stopping \(SIGTERM\)")
    cut.enough("early")
    asked_at = time.monotonic()
    assert result.get(timeout=20) == "early"
    assert time.monotonic() - asked_at < 10
    with pytest.raises(Exception, match="TimeLimitExceeded"):
        limited.get(timeout=20)
    assert cut.ledger.items().count("limited soft limit") == 1
    assert worker.wait() == 0
    assert "The time is over" not in worker.log()


@pytest.mark.brokers("rabbitmq")
def test_what_has_not_begun_goes_back_at_once(cut: Cut) -> None:
    cut.scene.settings.update(worker_prefetch_multiplier=8, graceful_grace_period=LONG_GRACE)
    worker = cut.scene.worker(concurrency=1)
    results = [cut.send("late", f"late-{number}") for number in range(6)]
    for result in results:
        worker.wait_log(rf"cut.late\[{result.id}\] received")
    cut.noted("late-0 begins")
    waiting = cut.scene.worker(concurrency=6)
    worker.signal(SIGTERM)
    for number in range(1, 6):
        cut.noted(f"late-{number} begins", timeout=LONG_GRACE - MARGIN)
    assert worker.exit_code is None, "it still runs the first"
    cut.enough(*(f"late-{number}" for number in range(6)))
    assert [result.get(timeout=20) for result in results] == [f"late-{n}" for n in range(6)]
    begins = [item for item in cut.ledger.items() if str(item).endswith("begins")]
    assert len(begins) == 6
    assert "5 tasks not begun went back to the queue" in worker.log()
    waiting.signal(SIGTERM)
    assert waiting.wait() == 0


@pytest.mark.timeout(600)
def test_cuts_are_no_crashes(cut_on_redis: Cut) -> None:
    cut = cut_on_redis
    cut.scene.settings.update(
        graceful_grace_period=8.0, graceful_kill_margin=8.0, graceful_max_crashes=2
    )
    worker = cut.scene.worker()
    result = cut.send("long_item", "run")
    for times in range(1, 4):
        cut.noted("run item 2", times=times)
        waiting = cut.scene.worker()
        worker.signal(SIGTERM)
        cut.noted("run item 2", times=times + 1)
        worker.wait()
        worker = waiting
    cut.enough("run")
    result.get(timeout=20)
    assert cut.ledger.items().count("run item 1") == 1
    worker.signal(SIGTERM)
    assert worker.wait() == 0


def test_a_connection_that_is_lost_while_it_waits(
    rabbitmq_url: str, redis_url: str, ledger: Ledger, start_worker: Callable[..., Worker]
) -> None:
    port = urlsplit(rabbitmq_url).port
    assert port is not None
    scene = Scene("cut", rabbitmq_url, redis_url, ledger, start_worker)
    scene.settings = dict(SETTINGS)
    with proxy(port) as cable, scene.producer() as app:
        cut = Cut(scene, app)
        scene.broker = rabbitmq_url.replace(f":{port}", f":{cable.port}")
        worker, result = scene.worker(), cut.send("late", "late")
        cut.noted("late begins")
        scene.broker = rabbitmq_url
        waiting = scene.worker()
        worker.signal(SIGTERM)
        worker.wait_log(r"Stopping \(SIGTERM\)")
        cable.drop()
        cut.noted("late begins", times=2)
        assert worker.wait(GRACE) == 0
        assert "could not be given back" in worker.log()
        cut.enough("late")
        assert result.get(timeout=20) == "late"
        waiting.signal(SIGTERM)
        assert waiting.wait() == 0

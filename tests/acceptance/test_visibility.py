"""Redis delivers nothing again that a living worker holds, and all that a dead one held."""

from __future__ import annotations

import time
from typing import Any

import celery
import pytest

from tests.acceptance.brokers import held_by_redis, restoring
from tests.acceptance.scene import Scene, StartWorker, recorded_states, signatures
from tests.harness import Ledger, wait_for
from tests.servers import Valkey

pytestmark = pytest.mark.slow

#: Seconds: how long a message may be held unless it is renewed, and how long tasks hold theirs.
VISIBLE, HELD = 6, 9
ITEMS = 100
OPTIONS = {"visibility_timeout": VISIBLE}


def make_scene(broker: str, backend: str, ledger: Ledger, start_worker: StartWorker) -> Scene:
    scene = Scene("held", broker, backend, ledger, start_worker)
    scene.settings = {"broker_transport_options": OPTIONS, "graceful_store": backend}
    return scene


@pytest.fixture
def scene(redis_url: str, ledger: Ledger, start_worker: StartWorker) -> Scene:
    return make_scene(redis_url, redis_url, ledger, start_worker)


class Three:
    """A run and a plain task that last, and a task that is not due yet, all held by ``worker``."""

    def __init__(self, scene: Scene, app: Any, *, at_once: int = 2, queue: str = "celery") -> None:
        self.scene = scene
        make = signatures(app, "held")
        self.later = make("plain", 0).apply_async(countdown=HELD, queue=queue)
        self.wait("received", self.later)
        self.run = make("run", ITEMS, HELD / ITEMS).apply_async(queue=queue)
        self.wait("begun", self.run)
        # Where it has to wait for the run, that has lasted long enough.
        self.plain = make("plain", HELD if at_once > 1 else 0).apply_async(queue=queue)
        self.wait("begun" if at_once > 1 else "received", self.plain)
        self.all = (self.later, self.run, self.plain)

    def wait(self, what: str, result: Any, times: int = 1) -> None:
        def count() -> bool:
            return self.counts(what, result) >= times

        wait_for(count, 3 * HELD, f"{what} {result.id} {times} times")

    def counts(self, what: str, *results: Any) -> int:
        counts = self.scene.ledger.counts()
        return sum(counts[f"{what} {result.id}"] for result in results)

    def check_results(self) -> None:
        assert self.plain.get(timeout=3 * HELD) == self.plain.id
        assert self.run.get(timeout=3 * HELD) == ITEMS
        assert self.later.get(timeout=3 * HELD) == self.later.id
        self.scene.check_items(self.run.id)
        assert len(self.scene.items(self.run.id)) == ITEMS

    def check_once(self) -> None:
        """Nothing was delivered twice, and the broker holds nothing any more."""
        self.check_results()
        for result in self.all:
            assert self.counts("received", result) == 1
            assert self.counts("begun", result) == 1
        options = self.scene.settings["broker_transport_options"]
        wait_for(lambda: not held_by_redis(self.scene.broker, **options), 10, "acknowledgements")


POOLS = ("prefork", "threads", "solo", "gevent")


def test_what_a_living_worker_holds_is_delivered_once(scene: Scene) -> None:
    """On all pools at a time, each with a queue of its own."""
    pytest.importorskip("gevent")
    for pool in POOLS:
        scene.worker("-Q", pool, pool=pool, concurrency=1 if pool == "solo" else 2)
    with scene.producer() as app, restoring(scene.broker, **OPTIONS):
        threes = [
            Three(scene, app, at_once=1 if pool == "solo" else 2, queue=pool) for pool in POOLS
        ]
        scene.worker("-Q", ",".join(POOLS), pool="threads")  # takes what is delivered again
        for three in threes:
            three.check_results()
        for three in threes:
            three.check_once()


def test_key_prefix_and_own_keys(scene: Scene) -> None:
    options = {**OPTIONS, "global_keyprefix": "shop:", "unacked_index_key": "held_since"}
    scene.settings["broker_transport_options"] = options
    scene.worker()
    with scene.producer() as app, restoring(scene.broker, **options):
        three = Three(scene, app)
        scene.worker(pool="threads")
        three.check_once()


def test_without_the_setting_all_is_delivered_again(scene: Scene) -> None:
    scene.settings["graceful_renew_visibility"] = False
    scene.worker()
    with scene.producer() as app, recorded_states(scene.backend) as states:
        began = time.monotonic()
        with restoring(scene.broker, **OPTIONS):
            three = Three(scene, app)
            other = scene.worker(pool="threads")
            for result in three.all:
                three.wait("received", result, times=2)
        spent = time.monotonic() - began
        # The plain task runs twice. The run does not: its copies are dropped.
        three.wait("begun", three.plain, times=2)
        other.wait_log(rf"\[{three.run.id}\].*dropped a duplicate message")
        scene.ledger.add("hurry")
        three.check_results()
        states.check_final(three.run.id)
    assert three.counts("begun", three.run) == 1
    assert three.counts("received", three.run) <= 1 + spent / VISIBLE
    assert len({e.pid for e in scene.ledger.entries() if str(e.item).startswith(three.run.id)}) == 1


def test_a_dead_worker_s_messages_come_back(scene: Scene) -> None:
    worker = scene.worker()
    with scene.producer() as app, restoring(scene.broker, **OPTIONS):
        result = signatures(app, "held")("plain", 120).apply_async()
        wait_for(lambda: scene.ledger.counts()[f"begun {result.id}"], 20, "the task")
        scene.worker(pool="threads")
        begun_at = scene.ledger.times()[0]
        wait_for(lambda: time.monotonic() > begun_at + 1.5 * VISIBLE, 20, "some renewals")
        killed_at = time.monotonic()
        worker.kill()
        begun = f"begun {result.id}"
        wait_for(lambda: scene.ledger.counts()[begun] == 2, 40, "the second try")
        times = [entry.at for entry in scene.ledger.entries() if entry.item == begun]
        came_back_after = times[1] - killed_at
        scene.ledger.add("hurry")
        assert result.get(timeout=20) == result.id
    assert VISIBLE * 2 / 3 - 2 < came_back_after < VISIBLE + 15


@pytest.mark.skipif(
    celery.VERSION[:2] == (5, 7), reason="it ends when it loses a Redis whose messages it holds"
)
def test_a_restart_of_redis(redis_url: str, ledger: Ledger, start_worker: StartWorker) -> None:
    """The message was delivered by a channel that is gone; the worker that runs it holds it."""
    with Valkey(appendonly=True) as broker:
        scene = make_scene(broker.url, redis_url, ledger, start_worker)
        worker = scene.worker()
        with scene.producer() as app:
            result = signatures(app, "held")("plain", 4 * VISIBLE).apply_async()
            wait_for(lambda: ledger.counts()[f"begun {result.id}"], 20, "the task")
            broker.kill()
            worker.wait_log("their times cannot be renewed", 20)
            broker.start()
            worker.wait_log("are kept again", 20)
            with restoring(broker.url, **OPTIONS):
                scene.worker(pool="threads")
                assert result.get(timeout=60) == result.id
        assert worker.log().count("cannot be renewed") == 1
        assert ledger.counts()[f"received {result.id}"] == 1

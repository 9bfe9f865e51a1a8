"""Tasks with a countdown that RabbitMQ holds back itself, in queues with names of all kinds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.closing import Closing, closing
from tests.acceptance.scene import Scene, StartWorker
from tests.harness import Ledger, wait_for

pytestmark = pytest.mark.rabbitmq

#: Queues, and the keys by which their messages come.
KEYS = {"feed.import": "feed.import", "letters": "shop.mail"}
QUORUM: dict[str, Any] = {
    "task_default_queue_type": "quorum",
    "task_default_exchange_type": "topic",
    "task_queues": {
        name: {
            "exchange": "shop",
            "exchange_type": "topic",
            "routing_key": key,
            "queue_arguments": {"x-queue-type": "quorum"},
        }
        for name, key in KEYS.items()
    },
}


@pytest.fixture
def scene(
    rabbitmq_url: str, redis_url: str, ledger: Ledger, start_worker: StartWorker
) -> Iterator[Closing]:
    scene = Scene("upkeep", rabbitmq_url, redis_url, ledger, start_worker)
    scene.settings = {"graceful_store": redis_url, "graceful_max_leg_runtime": 0.3, **QUORUM}
    with closing(scene) as found:
        yield found


@pytest.mark.parametrize("queue", KEYS)
def test_a_delayed_run_is_handed_over_to_its_queue(scene: Closing, queue: str) -> None:
    worker = scene.scene.worker(concurrency=1)
    walk = scene.send("walk", "a", 60, 0.02, queue=queue, countdown=1)
    assert walk.get(timeout=40) == 60, worker.log()[-3000:]
    assert scene.noted("a:") == [f"a:{n}" for n in range(60)]
    assert "was handed over" in worker.log()
    assert "no queue takes" not in worker.log()


@pytest.mark.parametrize("queue", KEYS)
def test_a_delayed_task_that_is_parked_comes_back(scene: Closing, queue: str) -> None:
    worker = scene.scene.worker(concurrency=1)
    version = scene.down("task upkeep.short")
    wait_for(lambda: scene.reports()[worker.name].version >= version, 10, "that it is in force")
    short = scene.send("short", 1, queue=queue, countdown=1)
    wait_for(lambda: scene.reports()[worker.name].parked, 20, lambda: worker.log()[-3000:])
    scene.up()
    assert short.get(timeout=20) == 1
    assert scene.noted() == ["short:1"]

"""Tasks with a countdown that RabbitMQ holds back itself, in queues with names of all kinds."""

from __future__ import annotations

import re
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
    scene.settings = {"graceful_store": redis_url, "graceful_max_execution_time": 0.3, **QUORUM}
    with closing(scene) as found:
        yield found


def test_what_was_delayed_is_handed_over_and_parked_by_its_own_queue(scene: Closing) -> None:
    worker = scene.scene.worker(concurrency=1)
    walks = {q: scene.send("walk", q, 40, 0.02, queue=q, countdown=1) for q in KEYS}
    for queue, walk in walks.items():
        assert walk.get(timeout=40) == 40, worker.log()[-3000:]
        assert scene.noted(f"{queue}:") == [f"{queue}:{n}" for n in range(40)]
        assert re.search(rf"\[{walk.id}\].* was interrupted", worker.log())
    assert "no queue takes" not in worker.log()

    version = scene.down("task upkeep.short")
    wait_for(lambda: scene.reports()[worker.name].version >= version, 10, "that it is in force")
    parked = {q: scene.send("short", f"parked-{q}", queue=q, countdown=1) for q in KEYS}
    wait_for(lambda: scene.reports()[worker.name].parked == 2, 20, lambda: worker.log()[-3000:])
    scene.up()
    for queue, short in parked.items():
        assert short.get(timeout=20) == f"parked-{queue}"
    assert sorted(scene.noted("short:")) == sorted(f"short:parked-{queue}" for queue in KEYS)

"""Messages of protocol 1: from other clients, and from apps with ``task_protocol = 1``."""

from __future__ import annotations

import json
from signal import SIGKILL, SIGTERM
from typing import Any

import pytest

from tests.acceptance.brokers import send_by_protocol_1
from tests.acceptance.runs import Run, Stage
from tests.acceptance.scene import Scene, StartWorker, signatures
from tests.acceptance.test_envelope import check_same
from tests.harness import Ledger, wait_for

pytestmark = pytest.mark.slow


@pytest.mark.core
@pytest.mark.parametrize(
    "pool", [pytest.param("prefork", marks=pytest.mark.brokers("redis", "rabbitmq")), "threads"]
)
def test_a_run_survives_a_stop_and_a_crash(stage: Stage, pool: str) -> None:
    stage.settings.update(graceful_lease_ttl=3, graceful_rescue_interval=0.3)
    first = stage.worker("first", pool=pool)
    second = stage.waiting("second", pool=pool)
    first.wait_ready()
    ledger = Ledger(stage.folder / "protocol-1.jsonl")
    task_id = send_by_protocol_1(stage.broker, "items.generator", str(ledger.path), 400, 0.03)
    run = Run(stage.app.AsyncResult(task_id), ledger, 400)
    run.wait_items(10)
    second.wait_ready()
    stage.let_in(second)
    first.signal(SIGTERM)
    assert first.wait(20) == 0
    stopped_at = len(run.ledger)
    run.wait_items(stopped_at + 10)
    run.check_exact_so_far()
    third = stage.worker("third", pool=pool)
    third.wait_ready()
    second.signal(SIGKILL)
    killed_at = len(run.ledger)
    run.wait_items(killed_at + 10)
    run.hurry()
    run.check_result()
    assert not run.lost()
    assert sum(run.repeated().values()) <= 1.5 / 0.03, "at most 1.5 checkpoint intervals"


def test_what_the_caller_sent_stays(
    redis_url: str, ledger: Ledger, start_worker: StartWorker
) -> None:
    scene = Scene("envelope", redis_url, redis_url, ledger, start_worker)
    scene.settings = {"graceful_store": redis_url, "task_protocol": 1}
    scene.worker("-Q", "celery,special")
    with scene.producer() as app:
        make = signatures(app, "envelope")
        sent: dict[str, Any] = {
            "plain": make("probe", 1, "two", tag="plain", x=[3]).apply_async(),
            "queue": make("probe", tag="queue").apply_async(queue="special", priority=4),
            "limits": make("probe", tag="limits").apply_async(time_limit=60, soft_time_limit=50),
            "expires": make("probe", tag="expires").apply_async(expires=300, countdown=0.3),
            "retries": make("probe", tag="retries").apply_async(retries=2),
            "taskset": make("probe", tag="taskset").apply_async(group_id="a-group"),
            "again": make("again", tag="again").apply_async(),
        }
        linked = make("probe", tag="linked")
        linked.link(make("probe", tag="callback", until=0).set(immutable=True))
        sent["linked"] = linked.apply_async()
        values = {tag: result.get(timeout=60) for tag, result in sent.items()}
        wait_for(lambda: scene.items("callback"), 20, "the callback")
    seen = {tag: check_same(scene, tag) for tag in sent if tag != "again"}
    scene.check_items("again")
    assert values["plain"] == "((1, 'two'), {'x': [3]})"
    assert values["again"] == "done"
    assert seen["plain"]["kwargs"] == {"tag": "plain", "x": [3]}
    assert seen["queue"]["where"][1] == "special"
    assert seen["queue"]["where"][2] == 4
    assert seen["limits"]["timelimit"] == [60, 50]
    assert seen["retries"]["retries"] == 2
    assert seen["taskset"]["group"] == "a-group"
    assert json.dumps(seen["linked"]["callbacks"])

"""What arrives at a later execution is what the caller sent."""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import time
from collections.abc import Collection
from signal import SIGTERM
from typing import Any

import pytest
from celery.result import AsyncResult

from tests.acceptance.scene import Scene, StartWorker, recorded_states, signatures
from tests.harness import Ledger, wait_for

pytestmark = pytest.mark.slow

#: Celery can only speak it when PyYAML is there.
YAML = importlib.util.find_spec("yaml") is not None
ACCEPT = ["json", "pickle", *(["yaml"] if YAML else [])]

#: Seconds after which a message expires: enough for a busy worker to take it first.
EXPIRES = 6

#: A retry counts, and Celery writes down the ``ignore_result`` that was left open.
OF_RETRIES = ("retries", "ignore_result")


@pytest.fixture
def scene(broker_url: str, redis_url: str, ledger: Ledger, start_worker: StartWorker) -> Scene:
    scene = Scene("envelope", broker_url, redis_url, ledger, start_worker)
    scene.settings = {
        "graceful_store": redis_url,
        "accept_content": ACCEPT,
        "result_accept_content": ["json", "pickle"],
        "task_routes": {"envelope.routed": {"queue": "routed", "priority": 2}},
    }
    return scene


def executions_of(scene: Scene, tag: str) -> list[dict[str, Any]]:
    """What each execution of a run has noted of its request."""
    return [
        json.loads(str(item).partition("@")[2])
        for item in scene.ledger.items()
        if str(item).startswith(f"{tag}@")
    ]


def check_same(scene: Scene, tag: str, least: int = 3, but: Collection[str] = ()) -> dict[str, Any]:
    """Executions saw the same except ``but``, no item was lost or repeated; what they saw."""
    executions = executions_of(scene, tag)
    assert len(executions) >= least
    for execution in executions:
        for name in but:
            execution.pop(name)
    for later in executions[1:]:
        assert later == executions[0]
    scene.check_items(tag)
    return executions[0]


@pytest.mark.core
def test_each_execution_gets_what_the_caller_sent(scene: Scene) -> None:
    scene.worker("-Q", "celery,special,routed", concurrency=3)
    soon = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=1)
    with scene.producer() as app:
        make = signatures(app, "envelope")

        def send(tag: str, name: str = "probe", *args: Any, **options: Any) -> AsyncResult[Any]:
            kwargs = options.pop("kwargs", {})
            result: AsyncResult[Any] = make(name, *args, tag=tag, **kwargs).apply_async(**options)
            return result

        sent = {
            "plain": send("plain", "probe", 1, "two", kwargs={"x": [3]}),
            "queue": send("queue", queue="special"),
            "priority": send("priority", priority=6),
            "headers": send("headers", headers={"custom": {"who": "me"}}),
            "limits": send("limits", time_limit=60, soft_time_limit=50),
            "names": send("names", shadow="other.name", argsrepr="(secret)", kwargsrepr="{}"),
            "reply": send("reply", reply_to="somewhere", retries=2),
            "pickle": send("pickle", "probe", dt.timedelta(1), serializer="pickle"),
            "zlib": send("zlib", "probe", "x" * 2000, compression="zlib"),
            "routed": send("routed", "routed"),
            "countdown": send("countdown", countdown=0.5),
            "eta": send("eta", eta=soon),
            "expires": send("expires", expires=300),
        }
        if YAML:
            sent["yaml"] = send("yaml", "probe", [1, {"a": 2}], serializer="yaml")
        stamped = make("probe", tag="stamped")
        stamped.stamp(color="red", places=["a", "b"])
        sent["stamped"] = stamped.apply_async()
        parented = send("parented", root_id="the-root", parent_id="the-parent", group_id="a-group")
        sent["parented"] = parented
        sent["retried"] = send("retried", "again", headers={"custom": 1}, priority=3)
        results = {tag: result.get(timeout=90) for tag, result in sent.items()}
        seen = {tag: check_same(scene, tag) for tag in sent if tag != "retried"}
        seen["retried"] = check_same(scene, "retried", but=OF_RETRIES)

    for tag, result in sent.items():
        assert seen[tag]["id"] == result.id
        if tag != "parented":
            assert (seen[tag]["root_id"], seen[tag]["parent_id"]) == (result.id, None)
    assert results["plain"] == "((1, 'two'), {'x': [3]})"
    assert seen["queue"]["where"][1] == "special"
    assert seen["priority"]["where"][2] == 6
    assert seen["headers"]["custom"] == {"who": "me"}
    assert seen["limits"]["timelimit"] == [60, 50]
    assert (seen["names"]["shadow"], seen["names"]["argsrepr"]) == ("other.name", "(secret)")
    assert (seen["reply"]["reply_to"], seen["reply"]["retries"]) == ("somewhere", 2)
    assert results["pickle"] == "((datetime.timedelta(days=1),), {})"
    assert not YAML or results["yaml"] == "(([1, {'a': 2}],), {})"
    assert results["zlib"] == f"(('{'x' * 2000}',), {{}})"
    assert seen["routed"]["where"][1:] == ["routed", 2]
    assert seen["stamped"]["stamps"] == {"color": "red", "places": ["a", "b"]}
    assert (seen["parented"]["root_id"], seen["parented"]["parent_id"]) == (
        "the-root",
        "the-parent",
    )
    assert seen["parented"]["group"] == "a-group"
    assert seen["retried"]["where"][2] == 3
    assert seen["retried"]["custom"] == 1


@pytest.mark.brokers("redis", "rabbitmq")
def test_a_worker_stop_keeps_the_envelope(scene: Scene) -> None:
    first = scene.worker("-Q", "special", concurrency=1)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        run = signatures(app, "envelope")("probe", tag="run", until="enough")
        run.stamp(color="red")
        result = run.apply_async(
            queue="special", priority=4, headers={"custom": "7"}, ignore_result=False, expires=300
        )
        last = scene.relay(first, ["run"], 1, concurrency=1)
        scene.ledger.add("enough")
        assert result.get(timeout=20) == "((), {})"
        last.signal(SIGTERM)
        last.wait()
        states.check_finals({"SUCCESS"})
    assert check_same(scene, "run", 2)["where"][1:] == ["special", 4]


def test_expires_that_pass_while_it_runs_do_not_end_a_run(scene: Scene) -> None:
    scene.worker(concurrency=1)
    with scene.producer() as app:
        make = signatures(app, "envelope")
        begun = time.monotonic()
        result = make("probe", tag="run", until="enough").apply_async(expires=EXPIRES)
        wait_for(lambda: time.monotonic() - begun > EXPIRES, 2 * EXPIRES, "the expiry to pass")
        executions = len(executions_of(scene, "run"))
        assert executions, "the run was not admitted before it expired"
        wait_for(
            lambda: len(executions_of(scene, "run")) > executions + 1,
            30,
            "executions after the expiry",
        )
        scene.ledger.add("enough")
        assert result.get(timeout=30) == "((), {})"
        late = make("probe", tag="late").apply_async(
            expires=dt.datetime.now(dt.timezone.utc) - dt.timedelta(seconds=1)
        )
        if scene.broker.startswith("redis"):  # RabbitMQ drops it by itself, and tells nobody
            wait_for(lambda: str(late.state) == "REVOKED", 10, "REVOKED")
        assert make("probe", tag="next").apply_async().get(timeout=20)
    check_same(scene, "run")
    assert not executions_of(scene, "late")


def test_a_run_that_ignores_its_result_writes_nothing(scene: Scene) -> None:
    scene.settings["task_track_started"] = True
    scene.settings["graceful_checkpoint_interval"] = 0.05
    scene.worker(concurrency=1)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        make = signatures(app, "envelope")
        silent = make("probe", tag="silent").apply_async(ignore_result=True)
        scene.wait_outcome("envelope.probe", silent.id)
        loud = make("probe", tag="loud").apply_async()
        loud.get(timeout=20)
        assert states.of(silent.id) == []
        written = states.of(loud.id)
    assert written[0] == "STARTED"
    assert set(written) == {"STARTED", "SUCCESS"}, "nobody counts its items"
    assert check_same(scene, "silent")["ignore_result"] is True


@pytest.mark.rabbitmq
def test_rabbitmq_priority_queue_keeps_the_priority(
    rabbitmq_url: str, redis_url: str, ledger: Ledger, start_worker: StartWorker
) -> None:
    scene = Scene("envelope", rabbitmq_url, redis_url, ledger, start_worker)
    scene.settings = {
        "graceful_store": redis_url,
        "task_queue_max_priority": 9,
    }
    scene.worker(concurrency=1)
    with scene.producer() as app:
        make = signatures(app, "envelope")
        high = make("probe", tag="high").apply_async(priority=8)
        retried = make("again", tag="retried").apply_async(priority=5)
        for result in (high, retried):
            result.get(timeout=20)
    assert check_same(scene, "high")["where"][2] == 8
    assert check_same(scene, "retried", but=OF_RETRIES)["where"][2] == 5


@pytest.mark.rabbitmq
def test_rabbitmq_quorum_queue_with_an_eta_goes_on_in_its_queue(
    rabbitmq_url: str, redis_url: str, ledger: Ledger, start_worker: StartWorker
) -> None:
    scene = Scene("envelope", rabbitmq_url, redis_url, ledger, start_worker)
    scene.settings = {
        "graceful_store": redis_url,
        "task_default_queue_type": "quorum",
        "task_default_exchange_type": "topic",
        "broker_transport_options": {"confirm_publish": True},
    }
    scene.worker(concurrency=1)
    with scene.producer() as app:
        make = signatures(app, "envelope")
        delayed = make("probe", tag="delayed").apply_async(countdown=1)
        direct = make("probe", tag="direct").apply_async()
        retried = make("again", tag="retried").apply_async(countdown=1)
        for result in (delayed, direct, retried):
            result.get(timeout=30)
    for tag in ("delayed", "direct", "retried"):
        assert len(executions_of(scene, tag)) >= 3
        scene.check_items(tag)
    wheres = [execution["where"][:2] for execution in executions_of(scene, "delayed")]
    assert wheres[0][0].startswith("celery_delayed")  # the first execution came through the delay
    assert all(where == ["", "celery"] for where in wheres[1:]), wheres

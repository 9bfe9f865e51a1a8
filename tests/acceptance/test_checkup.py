"""The doctor at a worker's start: a line in the log for each finding, none where all is well."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.acceptance.scene import Scene
from tests.harness import Ledger, Worker

FINDING = re.compile(r"(\w+)/MainProcess\].*?\b(GD\d{3}) ([^\n]*)")


@pytest.fixture
def scene(redis_url: str, ledger: Ledger, start_worker: Callable[..., Worker]) -> Scene:
    return Scene("plain", redis_url, redis_url, ledger, start_worker)


def examined(worker: Worker) -> list[tuple[str, str]]:
    """Level and id of each finding, once the doctor has had its time."""
    worker.wait_log("The doctor has examined this worker")
    return [(level, found) for level, found, _ in FINDING.findall(worker.log())]


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "gevent"])
def test_an_ordinary_worker_has_nothing_to_be_told_of(scene: Scene, pool: str) -> None:
    worker = scene.worker("-l", "DEBUG", pool=pool)
    assert examined(worker) == []
    assert "The doctor could not" not in worker.log()


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_what_is_wrong_is_told_once_with_its_severity(scene: Scene, pool: str) -> None:
    scene.settings = {"task_time_limit": 300, "task_soft_time_limit": 300}
    worker = scene.worker("-l", "DEBUG", pool=pool, env={"GRACEFUL_GRACE_PERIOD": "20s"})
    assert examined(worker) == [("WARNING", "GD105"), ("WARNING", "GD702")]
    assert "allows 5m" in worker.log()


def test_it_can_be_switched_off(scene: Scene) -> None:
    scene.settings = {
        "task_time_limit": 300,
        "task_soft_time_limit": 300,
        "graceful_doctor_at_start": False,
    }
    worker = scene.worker("-l", "DEBUG", env={"GRACEFUL_GRACE_PERIOD": "20s"})
    with scene.producer() as app:
        app.send_task("plain.quick").get(timeout=20)
    assert FINDING.findall(worker.log()) == []


def test_a_wrong_grace_period_stops_no_plain_task(scene: Scene) -> None:
    worker = scene.worker(env={"GRACEFUL_GRACE_PERIOD": "soon"})
    with scene.producer() as app:
        app.send_task("plain.quick").get(timeout=20)
    worker.wait_log("could not start on this worker: .*GRACEFUL_GRACE_PERIOD is wrong: 'soon'", 20)

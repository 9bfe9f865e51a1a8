"""``graceful doctor`` asks the workers that run."""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any, NamedTuple

import pytest

from tests.acceptance.scene import Scene
from tests.harness import Ledger
from tests.harness.forkserver import run

APP = "tests.acceptance.apps.plain"
MANIFEST = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: shop}}
spec:
  template:
    spec:
      terminationGracePeriodSeconds: 60
      containers:
        - name: worker
          image: shop
          command: ["celery", "-A", "{APP}", "worker"]
"""


@pytest.fixture
def scene(broker_url: str, redis_url: str, ledger: Ledger, start_worker: Any) -> Scene:
    return Scene("plain", broker_url, redis_url, ledger, start_worker)


class Told(NamedTuple):
    code: int
    data: dict[str, Any]
    stderr: str

    @property
    def ids(self) -> list[str]:
        return [each["id"] for each in self.data["findings"]]


def doctor(scene: Scene, *words: str, stdin: str = "") -> Told:
    code = (
        "from celery.bin.celery import celery; from celery_graceful.cli import graceful; "
        "celery.add_command(graceful); celery(prog_name='celery')"
    )
    env = {"BROKER_URL": scene.broker, "RESULT_URL": scene.backend}
    env["SETTINGS"] = json.dumps(scene.settings)
    done = run(
        [sys.executable, "-c", code, "-A", APP, "graceful", "doctor", "--json", *words],
        env={**os.environ, **env},
        stdin=stdin,
        timeout=60,
    )
    assert done.stdout, done.stderr
    return Told(done.returncode, json.loads(done.stdout), done.stderr)


def doctor_of(scene: Scene, workers: int, *words: str, **options: Any) -> Told:
    """Asks again when a busy machine has kept one of ``workers`` from answering in time."""
    for _ in range(5):
        told = doctor(scene, *words, **options)
        if len(told.data["workers"]) == workers:
            break
    return told


def test_workers_beside_each_other_and_beside_the_files(scene: Scene) -> None:
    knowing = scene.worker(env={"GRACEFUL_GRACE_PERIOD": "60s"})
    told = doctor_of(scene, 1)
    assert (told.code, told.ids, told.stderr) == (0, [], "")
    (worker,) = told.data["workers"]
    assert worker["hostname"] == f"{knowing.name}@localhost"
    assert worker["host"] == socket.gethostname()
    assert (worker["grace"], worker["grace_source"]) == (60, "GRACEFUL_GRACE_PERIOD")
    assert (worker["pool"], worker["slots"], worker["queues"]) == ("prefork", 2, ["celery"])

    scene.settings = {"graceful_lease_ttl": 60}
    unknowing = scene.worker()
    other = scene.worker(env={"GRACEFUL_GRACE_PERIOD": "90s"})
    scene.settings = {}
    told = doctor_of(scene, 3, "--manifest", "-", stdin=MANIFEST)
    assert told.code == 20
    by_id = {each["id"]: each["what"] for each in told.data["findings"]}
    assert {"GD901", "GD902", "GD904"} <= set(by_id)
    assert unknowing.name in by_id["GD901"]
    assert (
        f"{other.name}@localhost: running, and expecting 90 s (GRACEFUL_GRACE_PERIOD)"
        in by_id["GD902"]
    )
    assert "graceful_lease_ttl is 1m on" in by_id["GD904"]
    assert knowing.name not in by_id["GD901"] + by_id["GD902"]


def test_a_running_worker_is_examined_like_one_of_a_file(scene: Scene) -> None:
    scene.settings = {"task_time_limit": 300}
    worker = scene.worker(env={"GRACEFUL_GRACE_PERIOD": "20s"})
    told = doctor_of(scene, 1)
    (finding,) = told.data["findings"]
    assert finding["id"] == "GD105"
    assert f"{worker.name}@localhost (running)" in finding["what"]


def test_without_workers_or_broker_the_rest_is_examined(scene: Scene) -> None:
    told = doctor(scene, "-t", "0.3")
    assert told.code == 0
    assert told.stderr == "Running workers were not examined: none answered within 0.3 s\n"
    scene.broker = "redis://127.0.0.1:1/0"
    told = doctor(scene)
    assert told.data["findings"]  # of the store, which is there no more than the broker
    assert "the broker does not answer" in told.stderr
    assert len(told.stderr.splitlines()) == 1

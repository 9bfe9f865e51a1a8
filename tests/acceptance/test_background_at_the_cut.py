"""A worker that cuts its tasks off: the processes beside them are asked, and it leaves in time."""

from __future__ import annotations

import time
from pathlib import Path
from signal import SIGQUIT, SIGTERM
from typing import Any

import psutil
import pytest

from celery_graceful.processes.start_options import TAG
from tests.acceptance.scene import Scene, StartWorker
from tests.harness import Ledger, wait_for
from tests.harness.family import VARIABLE

pytestmark = pytest.mark.slow

KINDS = ("notes", "commanded", "stubborn")
#: The cut comes after a second and a half.
PERIOD = {"graceful_grace_period": 10.0, "graceful_kill_margin": 8.5}


def left_of(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            variables = process.environ()
        except (psutil.Error, OSError):
            continue
        if variables.get(VARIABLE) == mark and TAG in variables:
            found.append(process)
    return found


@pytest.mark.parametrize(
    ("number", "settings"),
    [
        (SIGTERM, PERIOD),
        (SIGQUIT, PERIOD),
        pytest.param(SIGQUIT, {}, marks=pytest.mark.matrix),
    ],
    ids=["warm", "cold", "cold, no period"],
)
def test_processes_are_asked_and_the_worker_leaves_in_time(
    redis_url: str,
    ledger: Ledger,
    start_worker: StartWorker,
    tmp_path: Path,
    number: int,
    settings: dict[str, Any],
) -> None:
    scene = Scene("beside_cut", redis_url, redis_url, ledger, start_worker)
    scene.settings = {"graceful_store": redis_url, **settings}
    worker = scene.worker(concurrency=len(KINDS), env={"TMPDIR": str(tmp_path)})
    with scene.producer() as app:
        for kind in KINDS:
            app.send_task("beside.cut", (kind, str(tmp_path)))
        begun = {f"{kind} begins" for kind in KINDS}
        wait_for(lambda: begun <= set(ledger.items()), 20, worker.log)
        began = time.monotonic()
        worker.signal(number)
        assert worker.wait() == 0
        took = time.monotonic() - began
    wait_for(lambda: not left_of(worker._family.mark[VARIABLE]), 5)
    assert (tmp_path / "told").exists(), "a well-behaved process gets SIGTERM, not SIGKILL at once"
    assert (tmp_path / "left").exists(), "a stop command runs"
    assert ledger.counts() == {f"{kind} {what}": 1 for kind in KINDS for what in ("begins", "ends")}
    assert took < (10.0 if settings else 10.0 + 3.0)

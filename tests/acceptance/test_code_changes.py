"""A deploy changes a task while its runs are under way: its cursor, its name, or just its code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGTERM
from typing import Any

import celery
import pytest

from celery_graceful.model.run.record import RunKey
from celery_graceful.runs.api import Runs
from tests.acceptance.runs import Run, Stage
from tests.harness import Worker, producer, wait_for

pytestmark = pytest.mark.slow

APP, NAME = "tests.acceptance.apps.changing", "changing.import"
ITEMS, PAUSE = 2000, 0.02


class Deploys:
    """Releases of the task, one after another."""

    def __init__(self, stage: Stage, runs: Runs) -> None:
        self.stage = stage
        self.runs = runs
        self._number = 0

    def release(self, code: str, **options: Any) -> Worker:
        self._number += 1
        name = f"{code}-{self._number}"
        return self.stage.worker(name, app=APP, env={"CODE": code}, **options).wait_ready()

    def first(self) -> Run:
        """A run that the first release has left behind."""
        worker = self.release("first")
        run = self.stage.start(NAME, ITEMS, PAUSE)
        run.wait_items(5)
        self.stop(worker)
        return run

    @staticmethod
    def stop(worker: Worker) -> None:
        worker.signal(SIGTERM)
        assert worker.wait() == 0


@pytest.fixture
def deploys(redis_stage: Stage) -> Iterator[Deploys]:
    @contextmanager
    def runs() -> Iterator[Runs]:
        with producer(redis_stage.broker, redis_stage.backend) as app:
            app.main = "changing"
            app.conf.update(redis_stage.settings)
            yield Runs(lambda: app)

    with runs() as found:
        yield Deploys(redis_stage, found)


def test_another_version_of_the_cursor(deploys: Deploys) -> None:
    """It pauses until code comes that knows what to do, and then nothing is lost or repeated."""
    run = deploys.first()
    second = deploys.release("second")
    for times in (1, 2):  # resumed with the same code, it pauses again
        second.wait_log(
            rf"(?s)({NAME}\[{run.id}\] is paused: its checkpoint has .*){{{times}}}", 20
        )
        wait_for(lambda: deploys.runs.get(run.id).state == "paused", 20, "the pause")
        reason = deploys.runs.get(run.id).reason or ""
        assert "cursor_version 1, and the code has 2 and no migrate_cursor" in reason
        deploys.runs.resume(run.id) if times == 1 else None
    deploys.stop(second)
    assert "Traceback" not in second.log()
    assert second.log().count("is paused: ") == 2
    deploys.release("third")
    run.hurry()
    deploys.runs.resume(run.id)
    run.check_result()
    run.check_exact()


def test_a_renamed_task(deploys: Deploys) -> None:
    """Runs under the old name continue, new ones have the new name."""
    run = deploys.first()
    renamed = deploys.release("renamed")
    again = deploys.stage.start("changing.import_all", 5, 0)
    late = deploys.stage.start(NAME, 5, 0)  # by a web server of the release before
    for each in (again, late):
        each.check_result()
        each.check_exact()
    run.hurry()
    run.check_result()
    run.check_exact()
    renamed.wait_log(rf"{NAME}\[{run.id}\] resumes after cursor")
    assert deploys.runs.get(run.id).task == NAME
    assert RunKey("changing.import_all", again.id)
    assert deploys.runs.get(again.id).task == "changing.import_all"


@pytest.mark.skipif(celery.VERSION[:2] < (5, 7), reason="has no worker_pool_start_method")
def test_a_renamed_task_in_spawned_children(deploys: Deploys) -> None:
    run = deploys.first()
    deploys.release("renamed", settings={"worker_pool_start_method": "spawn"}, concurrency=1)
    run.hurry()
    run.check_result()
    run.check_exact()


def test_an_error_right_after_other_code_says_so(deploys: Deploys) -> None:
    run = deploys.first()
    careless = deploys.release("careless")
    with pytest.raises(TypeError):
        run.result.get(timeout=30)
    said = careless.wait_log(
        r"after cursor (\d+), which other code has saved: the hash .* was (\S+)"
    )
    assert int(said[1]) >= 4
    if sys.version_info >= (3, 11):
        assert said[2] in str(run.result.traceback)

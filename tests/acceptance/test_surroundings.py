"""A worker learns from whoever started it when it will be killed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from signal import SIGTERM

import pytest

from tests.acceptance.cutting import cutting
from tests.acceptance.scene import Scene
from tests.harness import Ledger, Worker, wait_for
from tests.unit.stop.test_supervisord import OverUnix, environ, serving


@pytest.fixture
def scene(redis_url: str, ledger: Ledger, start_worker: Callable[..., Worker]) -> Scene:
    return Scene("plain", redis_url, redis_url, ledger, start_worker)


def time_told(scene: Scene, env: dict[str, str], source: str) -> float:
    """What ``time_left()`` says to a task when the worker, whose log names ``source``, stops."""
    worker = scene.worker(env=env)
    (line,) = [line for line in worker.log().splitlines() if "runs of plain are kept in" in line]
    assert "INFO/" in line
    assert re.search(rf"lease \w+; grace period \w+ \({source}\), (iterable )?tasks", line), line
    with scene.producer() as app:
        asked = app.send_task("plain.left", (str(scene.ledger.path),))
        wait_for(lambda: scene.ledger.items() == ["begin"], 20, "the task's start")
        worker.signal()
        before, left = asked.get(timeout=20)
    assert before is None
    assert worker.wait() == 0
    return float(left)


def test_by_a_variable(scene: Scene) -> None:
    assert 10 < time_told(scene, {"GRACEFUL_GRACE_PERIOD": "30s"}, "GRACEFUL_GRACE_PERIOD") <= 24


def test_by_supervisord(scene: Scene, tmp_path: Path) -> None:
    path = f"{tmp_path}/s.sock"
    with serving(OverUnix(path)):
        assert 25 < time_told(scene, environ(f"unix://{path}"), "stopwaitsecs of .*") <= 36


def test_a_period_that_was_only_learnt_cuts_no_plain_task_off(
    redis_url: str, tmp_path: Path, ledger: Ledger, start_worker: Callable[..., Worker]
) -> None:
    path = f"{tmp_path}/s.sock"
    with (
        serving(OverUnix(path)),
        cutting(redis_url, redis_url, ledger, start_worker) as cut,
    ):
        del cut.scene.settings["graceful_grace_period"]
        cut.scene.settings["graceful_kill_margin"] = 43  # of 45: the cut comes after two
        worker = cut.scene.worker(concurrency=3, env=environ(f"unix://{path}"))
        plain, run = cut.send("late", "plain"), cut.send("long_item", "run")
        cut.noted("plain begins")
        cut.noted("run item 2")
        cut.scene.worker()
        worker.signal(SIGTERM)
        cut.noted("run item 2", times=2)  # cut off, and begun again by the other worker
        assert worker.exit_code is None
        cut.enough("plain", "run")
        assert plain.get(timeout=20) == "plain"
        assert worker.wait() == 0
        run.get(timeout=20)
    assert ledger.items().count("plain begins") == 1
    log = worker.log()
    assert "iterable tasks are cut off in" in log
    assert f"Handed back cut.long_item[{run.id}]" in log
    assert f"cut.late[{plain.id}]: cut off" not in log

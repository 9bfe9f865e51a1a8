"""Real workers say what their tasks leave behind, and end it where that is set."""

from __future__ import annotations

import re
from collections.abc import Callable

import psutil
import pytest

from tests.acceptance.scene import Scene
from tests.harness import Ledger, Worker, wait_for

POOLS = ("prefork", "threads", "gevent", "solo")
#: Ends only by SIGKILL, from its very beginning.
STUBBORN = "trap '' TERM; sh -c 'while :; do sleep 0.05; done'"


@pytest.fixture
def scene(redis_url: str, ledger: Ledger, start_worker: Callable[..., Worker]) -> Scene:
    return Scene("leaking", redis_url, redis_url, ledger, start_worker)


def worker_of(scene: Scene, pool: str, mode: str) -> Worker:
    if pool == "gevent":
        pytest.importorskip("gevent")
    scene.settings["graceful_leaked_processes"] = mode
    return scene.worker(pool=pool, concurrency=1)


def gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.mark.slow
@pytest.mark.parametrize("pool", POOLS)
def test_they_are_told(scene: Scene, pool: str) -> None:
    worker = worker_of(scene, pool, "warn")
    with scene.producer() as app:
        assert app.send_task("leaking.waits").get(timeout=20) == "done"
        sent = app.send_task("leaking.tunnel", ("sleep 600",))
        pid = sent.get(timeout=20)
        worker.wait_log(
            rf"WARNING.*leaking\.tunnel\[{sent.id}\] left process {pid} behind: sleep 600 "
            r"\(\d+\.\d s old, \d+\.\d\d s of CPU\); it runs on"
        )
        failed = app.send_task("leaking.fails", (601,))
        worker.wait_log(rf"leaking\.fails\[{failed.id}\] left process \d+ behind: sleep 601 ")
        for _ in range(3):
            app.send_task("leaking.nothing").get(timeout=20)
    assert worker.log().count(" behind") == 2
    assert not gone(pid)


@pytest.mark.slow
@pytest.mark.parametrize("pool", POOLS)
def test_they_are_ended(scene: Scene, pool: str) -> None:
    worker = worker_of(scene, pool, "kill")
    with scene.producer() as app:
        before = app.send_task("leaking.nothing").get(timeout=20)
        for script in ("sleep 600", STUBBORN):
            sent = app.send_task("leaking.tunnel", (script,))
            pid = sent.get(timeout=20)
            assert app.send_task("leaking.nothing").get(timeout=20) == before  # the same child
            wait_for(lambda pid=pid: gone(pid), 15, "its end")  # type: ignore[misc]
            told = worker.wait_log(
                rf"leaking\.tunnel\[{sent.id}\]: ended what it left behind in (\d+\.\d) s"
            )
            killed = re.search(rf"by SIGKILL: pids? {pid}\b", worker.log()) is not None
            assert killed == (script == STUBBORN)
            assert not killed or float(told[1]) >= 2.0, "it had its time"


def test_by_default_nobody_looks(scene: Scene) -> None:
    worker = scene.worker(concurrency=1)
    with scene.producer() as app:
        pid = app.send_task("leaking.tunnel", ("sleep 600",)).get(timeout=20)
        app.send_task("leaking.nothing").get(timeout=20)
    assert not gone(pid)
    assert " behind" not in worker.log()

"""No process outlives its task: every way to end, on real workers, with every kind of process."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL, SIGQUIT, SIGSTOP, SIGTERM

import psutil
import pytest

from celery_graceful.processes.tagged import TAG
from tests.acceptance.apps.beside import GRACE
from tests.acceptance.besides import NOT_READY, Beside
from tests.acceptance.conftest import Figure
from tests.acceptance.scene import Scene, StartWorker
from tests.harness import Ledger, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def beside(
    redis_url: str, ledger: Ledger, start_worker: StartWorker, tmp_path: Path, figure: Figure
) -> Iterator[Beside]:
    scene = Scene("beside", redis_url, redis_url, ledger, start_worker)
    scene.settings = {"graceful_store": redis_url}
    with scene.producer() as app:
        yield Beside(scene, app, tmp_path, figure)


def test_success(beside: Beside) -> None:
    beside.begin(ready_timeout=NOT_READY)
    beside.scene.ledger.add("enough")
    beside.check_gone(time.monotonic(), NOT_READY + GRACE)
    beside.check_states("SUCCESS")
    beside.check_exits()
    beside.leave()


def test_the_tasks_own_error(beside: Beside) -> None:
    beside.begin(ready_timeout=NOT_READY, error="own")
    beside.scene.ledger.add("enough")
    beside.check_gone(time.monotonic(), NOT_READY + GRACE)
    for kind, result in beside.results.items():
        error = "ProcessNotReady" if kind == "never-ready" else "KeyError"
        wait_for(result.ready, 20)
        assert type(result.result).__name__ == error
    beside.check_exits()
    beside.leave()


def test_a_soft_time_limit(beside: Beside) -> None:
    beside.begin(soft_time_limit=6)
    began = time.monotonic()
    beside.check_gone(began, 6 + GRACE)
    beside.check_states("FAILURE", "SoftTimeLimitExceeded", own_end=False)
    beside.check_exits()
    beside.leave()


def test_three_seconds_and_a_process_that_ignores_sigterm(beside: Beside, figure: Figure) -> None:
    for _ in range(3):
        beside.scene.ledger.path.unlink(missing_ok=True)
        if not beside.results:
            beside.begin(kinds=("ignores-sigterm",))
            beside.scene.ledger.add("enough")
            wait_for(beside.results["ignores-sigterm"].ready, 10)
            beside.scene.ledger.path.unlink()
        began = time.monotonic()
        result = beside.app.send_task(
            "beside.hold", ("ignores-sigterm", "limited", 60.0), soft_time_limit=3
        )
        wait_for(result.ready, 20)
        took = time.monotonic() - began
        figure("3 s softly, grace 1 s, a process that ignores SIGTERM", took)
        assert type(result.result).__name__ == "SoftTimeLimitExceeded"
        assert not beside.tagged()
        assert took < 3 + GRACE + 0.5
    beside.leave()


def test_a_hard_time_limit(beside: Beside) -> None:
    beside.begin(time_limit=6)
    began = time.monotonic()
    beside.check_gone(began, 6 + GRACE)
    beside.check_states("FAILURE", "TimeLimitExceeded", own_end=False)
    beside.leave()


def test_revoked_with_terminate(beside: Beside) -> None:
    beside.begin()
    began = time.monotonic()
    for result in beside.results.values():
        result.revoke(terminate=True)
    beside.check_gone(began, GRACE)
    beside.check_states("REVOKED", "TaskRevokedError", own_end=False)
    beside.check_exits()
    beside.leave()


def test_a_warm_stop(beside: Beside) -> None:
    beside.begin(ready_timeout=NOT_READY)
    began = time.monotonic()
    beside.worker.signal(SIGTERM)
    assert beside.worker.wait() == 0
    beside.check_gone(began, NOT_READY + GRACE + 3)
    beside.check_states("SUCCESS")
    beside.check_exits()


def test_a_warm_stop_with_a_grace_period(beside: Beside) -> None:
    beside.scene.settings.update(graceful_grace_period=4.0, graceful_hand_over_margin=2.0)
    beside.begin()
    began = time.monotonic()
    beside.worker.signal(SIGTERM)
    beside.worker.wait()
    beside.check_gone(began, 4.0 + GRACE)


def test_a_cold_stop(beside: Beside) -> None:
    beside.begin()
    began = time.monotonic()
    beside.worker.signal(SIGQUIT)
    assert beside.worker.wait() == 0
    beside.check_gone(began, GRACE + 3)


def test_sigkill_of_the_pools_children(beside: Beside) -> None:
    beside.begin()
    began = time.monotonic()
    for pid in beside.task_pids():
        os.kill(pid, SIGKILL)
    beside.check_gone(began, GRACE)
    beside.check_states("FAILURE", "WorkerLostError", own_end=False)
    beside.leave()


def test_what_a_crash_left_is_ended_by_the_next_worker(beside: Beside) -> None:
    """The worker, its child and the guardian are killed at once; a daemon lives on."""
    beside.begin(kinds=("double-forked", "stubborn-daemon"))
    killed = [one for one in beside.tagged() if TAG not in one.environ()]
    assert len(killed) == 2, "a guardian each"
    os.kill(beside.worker.pid, SIGSTOP)  # or it would start new children
    for one in [*killed, *map(psutil.Process, beside.task_pids())]:
        one.kill()
    beside.worker.kill()
    assert beside.tagged(), "daemons"
    assert len(beside.files()) == 2
    began = time.monotonic()
    following = beside.start()
    beside.check_gone(began, GRACE + 3)
    following.wait_log("had outlived its guardian")
    following.signal(SIGTERM)
    assert following.wait() == 0


POOLS = ("prefork", "threads", "gevent")


@pytest.mark.parametrize("pool", [*POOLS, "solo"])
def test_sigkill_of_the_worker(beside: Beside, pool: str) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    beside.begin(pool, ("ignores-sigterm",) if pool == "solo" else ())
    began = time.monotonic()
    beside.worker.kill()
    beside.check_gone(began, GRACE)


@pytest.mark.parametrize("pool", ["threads", "gevent", "solo"])
def test_other_pools(beside: Beside, pool: str) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    kinds = ("double-forked",) if pool == "solo" else ()
    beside.begin(pool, kinds, ready_timeout=NOT_READY)
    beside.scene.ledger.add("enough")
    beside.check_gone(time.monotonic(), NOT_READY + GRACE)
    beside.check_states("SUCCESS")
    beside.check_exits()
    beside.leave()


@pytest.mark.parametrize("pool", ["threads", "gevent", "solo"])
@pytest.mark.parametrize("number", [SIGTERM, SIGQUIT])
def test_stops_of_other_pools(beside: Beside, pool: str, number: int) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    kinds = ("ignores-sigterm",) if pool == "solo" else ()
    beside.begin(pool, kinds, ready_timeout=NOT_READY)
    began = time.monotonic()
    beside.worker.signal(number)
    beside.worker.wait()
    beside.check_gone(began, NOT_READY + GRACE + 3)

"""No process outlives its task: every way to end, on real workers, with every kind of process."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL, SIGQUIT, SIGSTOP, SIGTERM

import psutil
import pytest

from celery_graceful.processes.start_options import TAG
from tests.acceptance.apps.beside import GRACE
from tests.acceptance.besides import NOT_READY, Beside
from tests.acceptance.conftest import Figure
from tests.acceptance.scene import Scene, StartWorker
from tests.harness import Ledger, wait_for
from tests.selection import rows

pytestmark = pytest.mark.slow


@pytest.fixture
def beside(
    redis_url: str, ledger: Ledger, start_worker: StartWorker, tmp_path: Path, figure: Figure
) -> Iterator[Beside]:
    scene = Scene("beside", redis_url, redis_url, ledger, start_worker)
    scene.settings = {"graceful_store": redis_url}
    with scene.producer() as app:
        yield Beside(scene, app, tmp_path, figure)


#: What ends late, in a session of its own, or with children: for tests of how tasks end.
SOME = ("ignores-sigterm", "double-forked", "grandchildren", "never-ready")
#: Seconds: a task's time limit, in which all of these have to begin.
LIMIT = 7


@pytest.mark.core
def test_success(beside: Beside) -> None:
    beside.begin(not_ready=NOT_READY)
    beside.scene.ledger.add("enough")
    beside.check_gone(time.monotonic(), NOT_READY + GRACE)
    beside.check_states("SUCCESS")
    beside.check_exits()
    beside.leave()


def test_the_tasks_own_error(beside: Beside) -> None:
    beside.begin(kinds=SOME, not_ready=NOT_READY, error="own")
    beside.scene.ledger.add("enough")
    beside.check_gone(time.monotonic(), NOT_READY + GRACE)
    for kind, result in beside.results.items():
        error = "ProcessNotReady" if kind == "never-ready" else "KeyError"
        wait_for(result.ready, 20)
        assert type(result.result).__name__ == error
    beside.check_exits()
    beside.leave()


def test_a_soft_time_limit(beside: Beside) -> None:
    beside.begin(kinds=SOME, soft_time_limit=LIMIT)
    began = time.monotonic()
    beside.check_gone(began, LIMIT + GRACE)
    beside.check_states("FAILURE", "SoftTimeLimitExceeded", own_end=False)
    beside.check_exits()
    beside.leave()


@pytest.mark.matrix  # a figure; that it is gone is tested above
def test_three_seconds_and_a_process_that_ignores_sigterm(beside: Beside, figure: Figure) -> None:
    took = []
    for _ in range(3):
        beside.scene.ledger.path.unlink(missing_ok=True)
        if not beside.results:
            beside.begin(kinds=("ignores-sigterm",))
            beside.scene.ledger.add("enough")
            wait_for(beside.results["ignores-sigterm"].ready, 30)
            beside.scene.ledger.path.unlink()
        began = time.monotonic()
        result = beside.app.send_task(
            "beside.hold", ("ignores-sigterm", "limited", 60.0), soft_time_limit=3
        )
        wait_for(result.ready, 30)
        took.append(time.monotonic() - began)
        figure("3 s softly, grace 1 s, a process that ignores SIGTERM", took[-1])
        assert type(result.result).__name__ == "SoftTimeLimitExceeded"
        wait_for(lambda: not beside.tagged(), 10, "the guardian's end, which says so before")
    assert max(took) < 30
    assert min(took) < 3 + GRACE + 0.5
    beside.leave()


def test_a_hard_time_limit(beside: Beside) -> None:
    beside.begin(kinds=SOME, time_limit=LIMIT)
    began = time.monotonic()
    beside.check_gone(began, LIMIT + GRACE)
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


@pytest.mark.core
def test_a_warm_stop(beside: Beside) -> None:
    beside.begin(not_ready=NOT_READY)
    began = time.monotonic()
    beside.worker.signal(SIGTERM)
    assert beside.worker.wait() == 0
    beside.check_gone(began, NOT_READY + GRACE + 3)
    beside.check_states("SUCCESS")
    beside.check_exits()


def test_a_warm_stop_with_a_grace_period(beside: Beside) -> None:
    """All have the time to end in order but one that does not hear of the stop."""
    beside.scene.settings.update(graceful_grace_period=12.0, graceful_kill_margin=6.0)
    beside.begin(kinds=SOME)
    began = time.monotonic()
    beside.worker.signal(SIGTERM)
    beside.worker.wait()
    beside.check_gone(began, 12.0 + GRACE)
    beside.check_states("SUCCESS", never_ready="WorkerLostError")
    beside.check_exits()


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
    """The worker, its children and the guardians are killed at once; what is beside lives on."""
    kinds = ("double-forked", "stubborn-daemon", "grandchildren")
    beside.begin(kinds=kinds)
    killed = [one for one in beside.tagged() if TAG not in one.environ()]
    assert len(killed) == len(kinds), "a guardian each"
    # Or they would start new children, and end what a guardian has left.
    for pid in (beside.worker.pid, *beside.task_pids()):
        os.kill(pid, SIGSTOP)
    for one in [*killed, *map(psutil.Process, beside.task_pids())]:
        one.kill()
    beside.worker.kill()
    assert beside.tagged(), "daemons"
    assert len(beside.files()) == len(kinds)
    following = beside.start()
    began = time.monotonic()
    beside.check_gone(began, GRACE + 3)
    following.wait_log("had outlived its guardian")
    following.signal(SIGTERM)
    assert following.wait() == 0


POOLS = ("prefork", "threads", "gevent")


@pytest.mark.core
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
    beside.begin(pool, kinds, not_ready=NOT_READY)
    beside.scene.ledger.add("enough")
    beside.check_gone(time.monotonic(), NOT_READY + GRACE)
    beside.check_states("SUCCESS")
    beside.check_exits()
    beside.leave()


@pytest.mark.parametrize(
    ("number", "pool"),
    rows(
        [(SIGTERM, "gevent"), (SIGTERM, "solo"), (SIGQUIT, "threads")],
        [(SIGTERM, "threads"), (SIGQUIT, "gevent"), (SIGQUIT, "solo")],
    ),
)
def test_stops_of_other_pools(beside: Beside, pool: str, number: int) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    kinds = ("ignores-sigterm",) if pool == "solo" else ()
    beside.begin(pool, kinds, not_ready=NOT_READY)
    began = time.monotonic()
    beside.worker.signal(number)
    beside.worker.wait()
    beside.check_gone(began, NOT_READY + GRACE + 3)
    if number == SIGTERM:
        beside.check_states("SUCCESS")
        beside.check_exits()

"""The harness itself: workers start, take signals, and leave nothing behind."""

from __future__ import annotations

import signal
from collections.abc import Callable

import psutil
import pytest

from tests.acceptance.apps import trivial
from tests.harness import Ledger, Worker, WorkerError, producer, wait_for

APP = "tests.acceptance.apps.trivial"
StartWorker = Callable[..., Worker]


@pytest.fixture
def env(broker_url: str, redis_url: str, ledger: Ledger) -> dict[str, str]:
    return {"BROKER_URL": broker_url, "RESULT_URL": redis_url, "LEDGER": str(ledger.path)}


def gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.brokers("redis", "rabbitmq")
def test_a_worker_runs_tasks_and_stops_on_sigterm(
    start_worker: StartWorker, env: dict[str, str], ledger: Ledger
) -> None:
    worker = start_worker(APP, env=env).wait_ready()
    family = worker.children()
    with producer(env["BROKER_URL"], env["RESULT_URL"]) as app:
        pids = {app.send_task(trivial.note.name, (n,)).get(timeout=20) for n in range(5)}
    assert ledger.items() == [0, 1, 2, 3, 4]
    assert pids <= set(family)
    assert len(family) >= 2
    worker.signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert gone(family)


def test_a_group_signal_reaches_the_children(
    start_worker: StartWorker, redis_url: str, ledger: Ledger
) -> None:
    env = {"BROKER_URL": redis_url, "RESULT_URL": redis_url, "LEDGER": str(ledger.path)}
    worker = start_worker(APP, env=env).wait_ready()
    family = worker.children()
    worker.signal_group(signal.SIGKILL)
    assert worker.wait(10) == -signal.SIGKILL
    wait_for(lambda: gone(family), 5, f"the end of {family}")


def test_nothing_survives_the_end_of_a_worker(redis_url: str, ledger: Ledger) -> None:
    env = {"BROKER_URL": redis_url, "RESULT_URL": redis_url, "LEDGER": str(ledger.path)}
    with Worker(APP, args=["-c", "1"], env=env) as worker, producer(redis_url, redis_url) as app:
        worker.wait_ready()
        daemon = app.send_task(trivial.leave_daemon.name).get(timeout=20)
        app.send_task(trivial.hold.name, (300,))
        wait_for(lambda: ledger.items() == ["begin"], 20, "the task's start")
        worker.kill()
        assert psutil.pid_exists(daemon)
    wait_for(lambda: gone([daemon, worker.pid]), 5, "the end of the daemon")


def test_an_error_shows_the_log(redis_url: str) -> None:
    worker = Worker("tests.acceptance.apps.no_such_module", env={"BROKER_URL": redis_url})
    with worker, pytest.raises(WorkerError, match=r"(?s)before it was ready.*no_such_module"):
        worker.wait_ready()


def test_a_ledger_keeps_order_counts_and_times(ledger: Ledger) -> None:
    assert ledger.items() == []
    for item in ("a", 2, "a"):
        ledger.add(item)
    assert ledger.items() == ["a", 2, "a"]
    assert ledger.counts() == {"a": 2, 2: 1}
    assert ledger.times() == sorted(ledger.times())
    assert len(ledger) == 3


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(AssertionError, match=r"waited 0.05 s in vain: a miracle"):
        wait_for(lambda: False, 0.05, "a miracle")

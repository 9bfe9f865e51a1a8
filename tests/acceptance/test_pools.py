"""The other pools: threads, solo and gevent hand their runs over as exactly as prefork."""

from __future__ import annotations

import time
from collections.abc import Callable
from signal import SIGQUIT, SIGTERM

import pytest

from tests.acceptance.runs import STYLES, Run, Stage, check_log_of_leaving
from tests.harness import Worker, wait_for
from tests.selection import pairwise

ITEMS, PAUSE = 600, 0.05
BEFORE_STOP = 10


def sigterm(_: Stage, worker: Worker) -> None:
    worker.signal(SIGTERM)


def sigquit(_: Stage, worker: Worker) -> None:
    worker.signal(SIGQUIT)


def control_shutdown(stage: Stage, worker: Worker) -> None:
    stage.app.control.shutdown(destination=[f"{worker.name}@localhost"])


Stop = Callable[[Stage, Worker], None]
POOLS = ("threads", "solo", "gevent")
STOPS: tuple[Stop, ...] = (sigterm, sigquit, control_shutdown)


@pytest.fixture(autouse=True)
def _gevent_is_there(request: pytest.FixtureRequest) -> None:
    if request.node.callspec.params["pool"] == "gevent":
        pytest.importorskip("gevent")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stop", "pool", "broker_url"),
    pairwise(
        stop=[pytest.param(stop, id=stop.__name__) for stop in STOPS],
        pool=POOLS,
        broker_url=["redis", "rabbitmq"],
    ),
    indirect=["broker_url"],
)
def test_runs_are_handed_over(stage: Stage, pool: str, stop: Stop) -> None:
    """Stop a worker with two runs while a second one waits; solo has one run at a time."""
    worker = stage.worker("stopped", pool=pool)
    waiting = stage.waiting(pool=pool)
    worker.wait_ready()
    waiting.wait_ready()
    runs = [stage.start(style, ITEMS, PAUSE) for style in STYLES]
    under_way = wait_under_way(runs, 1 if pool == "solo" else 2)
    stage.let_in(waiting)

    stopped_at = time.monotonic()
    stop(stage, worker)
    for run in runs:
        if run not in under_way:
            run.hurry()  # the second worker may have begun it, and on solo has no other slot
    # A solo worker hears remote control between two tasks only: its run ends where it is.
    deaf = pool == "solo" and stop is control_shutdown
    if not deaf:
        for run in under_way:
            run.wait_resumed(stopped_at)
    for run in runs:
        run.hurry()
    for run in runs:
        run.check_result()
        run.check_exact()
    for run in [] if deaf else under_way:
        cursor = check_log_of_leaving(worker, run)
        assert f"[{run.id}] resumes after cursor {cursor} " in waiting.log()
    worker.wait()


def wait_under_way(runs: list[Run], how_many: int) -> list[Run]:
    """Wait until so many of the runs have done some items."""

    def under_way() -> list[Run]:
        busy = [run for run in runs if len(run.ledger) >= BEFORE_STOP]
        return busy if len(busy) >= how_many else []

    return wait_for(under_way, 30, f"items of {how_many} runs")

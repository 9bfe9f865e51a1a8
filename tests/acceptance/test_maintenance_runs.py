"""Maintenance and iterable tasks: they leave at a checkpoint and go on where they were."""

from __future__ import annotations

import time

import pytest

from tests.acceptance.closing import Closing
from tests.harness import wait_for

POOLS = ("prefork", "threads", "solo", "gevent")


#: Of the workers that the fixture ``upkeep`` makes.
LEASE = 4.0
SETTINGS = {"graceful_lease_ttl": LEASE, "graceful_rescue_interval": 0.5}


@pytest.mark.core
@pytest.mark.parametrize("pool", POOLS)
def test_a_run_leaves_and_goes_on_without_a_repeat(upkeep: Closing, pool: str) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    upkeep.broadcast = pool != "solo"  # it hears broadcasts between two tasks only
    worker = upkeep.scene.worker(pool=pool)
    walk = upkeep.send("walk", "walk", 100, 0.02)
    upkeep.wait_noted("walk:", 20)
    version = upkeep.down()
    upkeep.wait_paused(worker, version=version)
    paused_at = time.monotonic()
    if pool == "prefork":  # longer than a lease: nobody rescues what maintenance holds
        wait_for(lambda: time.monotonic() > paused_at + 1.5 * LEASE, 20, "the time")
    assert upkeep.begun_after(paused_at) == []
    record = upkeep.scene.record("upkeep.walk", walk.id)
    assert record is not None
    assert (record.reason, record.crashes, record.republished) == ("maintenance", 0, 0)

    upkeep.up()
    assert walk.get(timeout=30) == 100
    assert upkeep.noted("walk:") == [f"walk:{n}" for n in range(100)]
    assert "Rescued" not in worker.log()


def test_a_run_may_end_with_no_interrupt(upkeep: Closing) -> None:
    worker = upkeep.scene.worker()
    walk = upkeep.send("walk", "walk", 100, 0.02)
    upkeep.wait_noted("walk:", 10)
    version = upkeep.down(interrupt=False)
    assert walk.get(timeout=30) == 100
    upkeep.wait_paused(worker, version=version)
    assert upkeep.noted("walk:") == [f"walk:{n}" for n in range(100)]
    assert "was interrupted" not in worker.log()


def test_only_runs_that_are_held_leave(upkeep: Closing) -> None:
    worker = upkeep.scene.worker("-Q", "celery,reports", concurrency=3)
    walks = {q: upkeep.send("walk", q, 100, 0.05, queue=q) for q in ("celery", "reports")}
    watching = upkeep.send("watching", "watch", queue="reports")
    for start in ("celery:", "reports:", "watching:"):
        upkeep.wait_noted(start)
    version = upkeep.down("queue reports")
    assert watching.get(timeout=30) == "maintenance"
    wait_for(
        lambda: [b.queue for b in upkeep.reports()[worker.name].busy] == ["celery"],
        10,
        lambda: str(upkeep.reports()),
    )
    assert upkeep.reports()[worker.name].version == version
    assert walks["celery"].get(timeout=60) == 100
    assert len(upkeep.noted("reports:")) < 100
    upkeep.up()
    assert walks["reports"].get(timeout=60) == 100
    for queue in walks:
        assert upkeep.noted(f"{queue}:") == [f"{queue}:{n}" for n in range(100)]

"""Crashes and outages: nothing is lost, and what is repeated has a bound.

The visibility timeout of Redis is left at its hour: whatever comes back sooner was rescued.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

import pytest

from celery_graceful.errors import MaxCrashesExceeded
from celery_graceful.model.run.record import RunKey
from celery_graceful.stores.url import open_store
from tests.acceptance.conftest import Figure
from tests.acceptance.runs import STYLES, Run, Stage
from tests.harness import Ledger, Worker, wait_for
from tests.selection import rows
from tests.servers import RabbitMQ, Valkey

pytestmark = pytest.mark.slow

#: More than a test has time for; ``hurry`` does the rest.
ITEMS, PAUSE = 10_000, 0.005
LEASE, FLUSH, MAX_CRASHES = 3.0, 0.6, 3
#: For what does not wait for its end: nothing is rescued meanwhile, however busy the machine is.
LONG_LEASE = 30.0
#: Longer than a lease.
OUTAGE = 1.4 * LEASE
#: What a crash repeats at most, in checkpoint intervals.
MOST_REPEATED = 1.5 * FLUSH
#: Seconds until a run is resumed: after a child's end without waiting for a lease's.
CHILD_LATEST, WORKER_LATEST = LONG_LEASE / 2, LEASE + 25.0
SETTINGS = {
    "graceful_lease_ttl": LEASE,
    "graceful_checkpoint_interval": FLUSH,
    "graceful_max_crashes": MAX_CRASHES,
}


def carried(stage: Stage, style: str, lease: float = LEASE) -> tuple[Worker, Worker, Run]:
    """A run that has saved checkpoints, and a second worker that waits."""
    stage.settings.update({**SETTINGS, "graceful_lease_ttl": lease})
    worker = stage.worker("carrying")
    waiting = stage.waiting()
    worker.wait_ready()
    waiting.wait_ready()
    run = stage.start(style, ITEMS, PAUSE)
    run.wait_items(1)
    started_at = run.ledger.times()[0]
    wait_for(lambda: run.ledger.times()[-1] > started_at + 1.3 * FLUSH, 20, "some flushes")
    stage.let_in(waiting)
    return worker, waiting, run


def check_after_crash(run: Run, crashed_at: float) -> None:
    """Everything was done, and nothing twice that was done before the last flush."""
    run.hurry()
    run.check_result()
    assert not run.lost()
    assert run.repeated().total() <= run.done_in(MOST_REPEATED, crashed_at)
    assert max(run.repeated().values(), default=0) <= 1


@pytest.fixture
def store_and_stage(own_valkey: Valkey, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    """A stage whose store can be stopped by itself."""
    with Stage(redis_url, redis_url, tmp_path, store=own_valkey.url).open() as stage:
        yield stage


# -- SIGKILL ---------------------------------------------------------------------------------

#: Both brokers and both styles; with ``--all`` all four combinations.
HERE = [("redis", STYLES[0]), ("rabbitmq", STYLES[1])]
THERE = [("redis", STYLES[1]), ("rabbitmq", STYLES[0])]
CHILD = rows(HERE, THERE)
WORKER = rows(THERE, HERE)


@pytest.mark.core
@pytest.mark.parametrize(("broker_url", "style"), CHILD, indirect=["broker_url"])
def test_a_killed_child(stage: Stage, style: str, figure: Figure) -> None:
    _, _, run = carried(stage, style, LONG_LEASE)
    child = run.ledger.entries()[-1].pid
    killed_at = time.monotonic()
    os.kill(child, SIGKILL)
    delay = run.wait_resumed(killed_at, 60)
    figure("resumed after: SIGKILL of a child", delay)
    check_after_crash(run, killed_at)
    assert delay < CHILD_LATEST


@pytest.mark.core
@pytest.mark.parametrize(("broker_url", "style"), WORKER, indirect=["broker_url"])
def test_a_killed_worker(stage: Stage, style: str, figure: Figure) -> None:
    worker, waiting, run = carried(stage, style)
    killed_at = time.monotonic()
    worker.kill()
    delay = run.wait_resumed(killed_at, 60)
    figure(f"resumed after: SIGKILL of a worker, lease {LEASE:g} s", delay)
    check_after_crash(run, killed_at)
    assert "Rescued items." in waiting.log()
    assert delay < WORKER_LATEST


@pytest.mark.core
def test_an_item_that_kills_ends_the_run(stage: Stage) -> None:
    stage.settings.update(SETTINGS)
    stage.worker("carrying").wait_ready()
    ledger, errors = Ledger(stage.folder / "crashing.jsonl"), stage.folder / "errors.jsonl"
    result = stage.send(
        "items.crashing",
        *(str(ledger.path), 100, 50),
        link_error=stage.callback("items.tell_error", errors),
    )
    with pytest.raises(MaxCrashesExceeded, match="without getting past cursor 49"):
        result.get(timeout=60)
    assert result.state == "FAILURE"
    counts = ledger.counts()
    # What the first execution had not saved yet counts as progress of the second, which saves each
    # item.
    assert counts.pop("crashing") == 1 + MAX_CRASHES
    assert set(counts) == set(range(50))
    wait_for(lambda: len(Ledger(errors)) > 0, 10, "the errback")
    assert Ledger(errors).items() == ["MaxCrashesExceeded"]


# -- the broker is away ----------------------------------------------------------------------
# Until Celery 5.6 a worker that comes back to its broker forgets the queues it was asked to take
# from meanwhile, so a worker that begins later resumes it.


def test_redis_is_away_at_the_hand_over(own_valkey: Valkey, redis_url: str, tmp_path: Path) -> None:
    with Stage(own_valkey.url, redis_url, tmp_path).open() as stage:
        worker, _, run = carried(stage, STYLES[0])
        own_valkey.kill()
        worker.signal(SIGTERM)
        stopped_at = time.monotonic()
        worker.wait_log(rf"\[{run.id}\].* (cannot be interrupted|is published again)", 20)
        own_valkey.start()
        stage.worker("later")
        run.wait_resumed(stopped_at, 60)
        check_after_crash(run, stopped_at)


@pytest.mark.rabbitmq
def test_rabbitmq_is_away_at_the_hand_over(
    rabbitmq_server: RabbitMQ, rabbitmq_url: str, redis_url: str, tmp_path: Path
) -> None:
    with Stage(rabbitmq_url, redis_url, tmp_path).open() as stage:
        worker, _, run = carried(stage, STYLES[1])
        rabbitmq_server.kill()
        try:
            worker.signal(SIGTERM)
            stopped_at = time.monotonic()
            worker.wait_log(rf"\[{run.id}\].* (cannot be interrupted|is published again)", 20)
        finally:
            rabbitmq_server.start()
        stage.worker("later")
        run.wait_resumed(stopped_at, 60)
        check_after_crash(run, stopped_at)


# -- the store is away -----------------------------------------------------------------------


def test_the_store_is_away_for_two_seconds(tmp_path: Path, redis_url: str) -> None:
    with (
        Valkey(appendonly=True) as store,
        Stage(redis_url, redis_url, tmp_path, store=store.url).open() as stage,
    ):
        stage.settings["graceful_store_patience"] = LONG_LEASE
        worker, _, run = carried(stage, STYLES[0], LONG_LEASE)
        store.kill()
        away_since = time.monotonic()
        wait_for(lambda: run.ledger.times()[-1] > away_since + 2, 30, "items without a store")
        store.start()
        worker.wait_log("the store is back")
        stopped_at = time.monotonic()
        worker.signal(SIGTERM)
        run.wait_resumed(stopped_at)
        run.hurry()
        run.check_result()
        run.check_exact()


@pytest.mark.parametrize("done", [1, 250])  # within the first checkpoint interval, and later
def test_the_store_is_away_when_a_run_is_done(tmp_path: Path, redis_url: str, done: int) -> None:
    with (
        Valkey(appendonly=True) as store,
        Stage(redis_url, redis_url, tmp_path, store=store.url).open() as stage,
    ):
        stage.settings.update(SETTINGS)
        worker = stage.worker("carrying").wait_ready()
        run = stage.start(STYLES[0], 3000, PAUSE)
        run.wait_items(done)
        store.kill()
        away_since = time.monotonic()
        run.hurry()
        worker.wait_log("the store does not answer")
        wait_for(lambda: time.monotonic() > away_since + OUTAGE, 3 * OUTAGE, "the outage's end")
        store.start()
        with closing(open_store(store.url, "items", timeout=30)) as records:
            key = RunKey(STYLES[0], run.id)
            wait_for(lambda: (r := records.load(key).record) and not r.live, 20, "the run's end")
        run.check_result()
        run.check_exact()


def test_the_store_is_away_when_a_run_is_done_and_its_worker_stops(
    tmp_path: Path, redis_url: str
) -> None:
    with (
        Valkey(appendonly=True) as store,
        Stage(redis_url, redis_url, tmp_path, store=store.url).open() as stage,
    ):
        stage.settings.update(SETTINGS)
        worker = stage.worker("carrying").wait_ready()
        run = stage.start(STYLES[1], 3000, PAUSE)
        run.wait_items(250)
        store.kill()
        away_since = time.monotonic()
        run.hurry()
        worker.wait_log("the store does not answer")
        worker.signal(SIGTERM)
        assert worker.wait() == 0
        store.start()
        stage.worker("later")
        run.check_result()
        assert not run.lost()
        left = run.items - sum(at <= away_since for at in run.ledger.times())
        assert run.repeated().total() <= left + run.done_in(MOST_REPEATED, away_since)


def test_a_silent_store(own_valkey: Valkey, store_and_stage: Stage) -> None:
    _, _, run = carried(store_and_stage, STYLES[1], LONG_LEASE)
    own_valkey.freeze()
    silent_since = time.monotonic()
    wait_for(lambda: run.ledger.times()[-1] > silent_since + 2, 30, "items without a store")
    own_valkey.thaw()
    run.hurry()
    run.check_result()
    run.check_exact()


# -- the runner stands still -----------------------------------------------------------------


def test_a_stalled_runner_ends_without_a_trace(redis_stage: Stage, figure: Figure) -> None:
    worker, _, run = carried(redis_stage, STYLES[0])
    entries = run.ledger.entries()
    processes = [worker.pid, *worker.children()]
    for pid in processes:
        os.kill(pid, SIGSTOP)
    stalled_at = time.monotonic()
    delay = run.wait_resumed(stalled_at, LEASE + 20)
    figure(f"resumed after: SIGSTOP of a worker, lease {LEASE:g} s", delay)
    woken_at = time.monotonic()
    for pid in processes:
        os.kill(pid, SIGCONT)
    worker.wait_log(rf"\[{run.id}\].*this execution ends without a trace")
    run.hurry()
    run.check_result()
    assert not run.lost()
    overlap = [e for e in run.ledger.entries() if e.pid == entries[-1].pid and e.at > woken_at]
    assert len(overlap) * PAUSE <= FLUSH
    before = run.done_in(MOST_REPEATED, stalled_at)
    assert run.repeated().total() <= before + len(overlap)
    assert run.result.state == "SUCCESS"

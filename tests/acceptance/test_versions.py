"""Workers that do not agree: on the version of the package, or on the time."""

from __future__ import annotations

import time
from pathlib import Path
from signal import SIGTERM

import pytest

from celery_graceful.model.run.record import RunKey
from tests.acceptance.hosts import another_version, wrong_clock
from tests.acceptance.runs import STYLES, Run, Stage
from tests.harness import Ledger, Worker
from tests.integration.stores.written import Elsewhere

pytestmark = pytest.mark.slow

ITEMS, PAUSE = 3000, 0.05
LEASE = 3.0
HOUR = 3600.0


@pytest.fixture
def stage(redis_stage: Stage) -> Stage:
    redis_stage.settings.update(graceful_lease_ttl=LEASE, graceful_checkpoint_interval=0.5)
    return redis_stage


def relieve(stage: Stage, run: Run, worker: Worker, relief: Worker) -> None:
    """Stop a worker warmly; its run goes on in the next."""
    relief.wait_ready()
    stage.let_in(relief)
    stopped_at = time.monotonic()
    worker.signal(SIGTERM)
    run.wait_resumed(stopped_at)
    assert worker.wait() == 0


# -- two versions ----------------------------------------------------------------------------


@pytest.mark.parametrize("style", [STYLES[0], pytest.param(STYLES[1], marks=pytest.mark.matrix)])
def test_a_run_goes_to_and_fro_between_versions(stage: Stage, style: str, tmp_path: Path) -> None:
    later = another_version(tmp_path / "later", format_=1)
    first = stage.worker("first").wait_ready()
    run = stage.start(style, ITEMS, PAUSE)
    second, third = stage.waiting("second", env=later), stage.waiting("third")
    run.wait_items(1)
    relieve(stage, run, first, second)
    record = Elsewhere(stage.backend, "items").summary(RunKey(style, run.id))
    assert (record["by"], record["colour"]) == ("0.9.1", "blue")
    relieve(stage, run, second, third)
    run.hurry()
    run.check_result()
    run.check_exact()
    record = Elsewhere(stage.backend, "items").summary(RunKey(style, run.id))
    assert record["by"] != "0.9.1"


def test_an_older_worker_leaves_what_it_cannot_read_to_others(stage: Stage, tmp_path: Path) -> None:
    """In the middle of a roll-out: the later version has written the record in its own format."""
    later = another_version(tmp_path / "later", format_=2)
    older = stage.worker("older", concurrency=2).wait_ready()
    run = stage.start(STYLES[0], ITEMS, PAUSE)
    newer = stage.waiting("newer", env=later)
    run.wait_items(1)
    relieve(stage, run, older, newer)
    older = stage.worker("older-again", concurrency=2).wait_ready()
    newer.signal(SIGTERM)
    stopped_at = time.monotonic()
    assert newer.wait() == 0
    told = r" waits: .*celery-graceful 0\.9\.1 wrote it in format 2.*Upgrade"
    older.wait_log(told, 20)
    done = len(run.ledger)
    note = stage.callback("items.tell", tmp_path / "plain.jsonl")
    note.clone(args=("told",)).delay().get(timeout=30)  # its other slot is free

    told_at = time.monotonic()
    assert len(run.ledger) == done
    assert older.log().count(" waits: nobody can say") <= 1 + (told_at - stopped_at) / 2
    assert older.log().count("is of a later version and is skipped") <= 1
    assert run.result.state not in ("FAILURE", "SUCCESS")
    stage.worker("newer-again", env=later).wait_ready()
    run.wait_resumed(told_at, 30)
    run.hurry()
    run.check_result()
    run.check_exact()


# -- two clocks ------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [HOUR, pytest.param(-HOUR, marks=pytest.mark.matrix)])
def test_hosts_whose_clocks_are_an_hour_off(stage: Stage, tmp_path: Path, ahead: float) -> None:
    """Stopped on one, killed on the other: the store's clock is the only one that counts."""
    there = wrong_clock(tmp_path / "there", ahead)
    back = wrong_clock(tmp_path / "back", -ahead)
    first = stage.worker("first", env=there).wait_ready()
    run = stage.start(STYLES[1], ITEMS, PAUSE)
    second, third = stage.waiting("second", env=back), stage.waiting("third", env=there)
    run.wait_items(1)
    relieve(stage, run, first, second)
    run.check_exact_so_far()
    third.wait_ready()
    stage.let_in(third)
    killed_at = time.monotonic()
    second.kill()
    delay = run.wait_resumed(killed_at)
    assert delay < LEASE + 20
    run.hurry()
    run.check_result()
    assert not run.lost()
    assert run.repeated().total() <= run.done_in(1.5 * 0.5, killed_at)


def test_a_retry_between_hosts_whose_clocks_differ(stage: Stage, tmp_path: Path) -> None:
    """Where the next worker's clock lags, Celery alone would hold the retry back for an hour."""
    first = stage.worker("first", env=wrong_clock(tmp_path / "fast", HOUR)).wait_ready()
    ledger = tmp_path / "retry.jsonl"
    result = stage.send("items.retries", str(ledger), 10)
    first.wait_log("Retry in 1s", 20)
    stage.worker("second").wait_ready()
    first.signal(SIGTERM)
    assert first.wait() == 0
    assert result.get(timeout=60) == 10
    assert Ledger(ledger).items() == [*range(10)]

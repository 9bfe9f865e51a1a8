"""A record vanishes while workers are at work: every item is done once, and the result comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGTERM

import pytest
from celery import Celery
from celery.result import AsyncResult
from sqlalchemy import create_engine, text

from celery_graceful.errors import CheckpointLost
from celery_graceful.maintenance.api import Maintenance
from celery_graceful.maintenance.mode_changes import read
from celery_graceful.maintenance.workers import decode_report
from celery_graceful.model.run.record import RunKey, State
from celery_graceful.runtime import runtime_of
from celery_graceful.stores.base import NOTICES, REPORTS
from celery_graceful.stores.url import open_store
from tests.acceptance.runs import STYLES, Run, Stage
from tests.harness import Ledger, Worker, wait_for
from tests.servers import Valkey

pytestmark = pytest.mark.slow

ITEMS, PAUSE = 300, 0.02
LEASE, FLUSH = 3.0, 0.3
VANISHED = "its record vanished from the store"


@pytest.fixture
def stage(own_valkey: Valkey, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    """A stage whose store can be emptied by itself."""
    with Stage(redis_url, redis_url, tmp_path, store=own_valkey.url).open() as stage:
        stage.settings.update(graceful_lease_ttl=LEASE, graceful_checkpoint_interval=FLUSH)
        yield stage


def begun(stage: Stage, style: str = STYLES[0], pool: str = "prefork") -> tuple[Worker, Run]:
    """A worker, and a run that has been saved."""
    worker = stage.worker("carrying", pool=pool).wait_ready()
    run = stage.start(style, ITEMS, PAUSE)
    run.wait_items(1)
    first = run.ledger.times()[0]
    wait_for(lambda: run.ledger.times()[-1] > first + 2 * FLUSH, 20, "some flushes")
    return worker, run


def flush_all(server: Valkey, run: Run) -> None:
    with server.client() as client:
        client.flushall()


def delete_key(server: Valkey, run: Run) -> None:
    with server.client() as client:
        assert client.delete(f"graceful:{{items}}:run:{STYLES[0]}:{run.id}") == 1


def restart_empty(server: Valkey, run: Run) -> None:
    server.kill()
    server.start()


def check(run: Run) -> None:
    run.hurry()
    run.check_result()
    run.check_exact()


@pytest.mark.parametrize(
    ("pool", "vanish"),
    [("prefork", flush_all), ("threads", delete_key), ("prefork", restart_empty)],
)
def test_while_the_loop_runs(
    own_valkey: Valkey, stage: Stage, pool: str, vanish: Callable[[Valkey, Run], None]
) -> None:
    worker, run = begun(stage, pool=pool)
    vanish(own_valkey, run)
    found = worker.wait_log(rf"{STYLES[0]}\[{run.id}\]: {VANISHED} .* cursor (\d+), \d+ items", 20)
    assert 0 < int(found[1]) < ITEMS
    check(run)
    assert worker.log().count(VANISHED) == 1
    store = open_store(own_valkey.url, "items")

    def ended() -> bool:
        record = store.load(RunKey(STYLES[0], run.id)).record
        return record is not None and record.state is State.ENDED

    wait_for(ended, 20, "its end")
    store.close()


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_row_that_somebody_deletes(
    request: pytest.FixtureRequest, redis_url: str, tmp_path: Path, kind: str
) -> None:
    url = f"sqlite:///{tmp_path}/runs.sqlite3"
    if kind == "postgres":
        url = request.getfixturevalue("postgres_url")
    with Stage(redis_url, redis_url, tmp_path, store=url).open() as stage:
        stage.settings.update(graceful_lease_ttl=LEASE, graceful_checkpoint_interval=FLUSH)
        worker, run = begun(stage, pool="threads" if kind == "sqlite" else "prefork")
        engine = create_engine(url)
        with engine.begin() as connection:
            assert connection.execute(text("DELETE FROM graceful_runs")).rowcount == 1
        engine.dispose()
        worker.wait_log(VANISHED, 20)
        check(run)


@pytest.mark.parametrize("ending", ["hand over", "finish"])
def test_right_before_the_execution_ends(own_valkey: Valkey, stage: Stage, ending: str) -> None:
    """No checkpoint comes in between: what it writes next is its hand-over, or its result."""
    worker, run = begun(stage)
    stage.settings["graceful_checkpoint_interval"] = 60
    worker.signal(SIGTERM)
    assert worker.wait() == 0
    after = len(run.ledger)
    second = stage.worker("second").wait_ready()
    run.wait_items(after + 10)
    flush_all(own_valkey, run)
    if ending == "hand over":
        second.signal(SIGTERM)
        assert second.wait() == 0
        assert VANISHED in second.log()
        second = stage.worker("third")
    check(run)


def test_between_hand_over_and_the_next_admission(own_valkey: Valkey, stage: Stage) -> None:
    """The message carries the checkpoint."""
    worker, run = begun(stage)
    worker.signal(SIGTERM)
    assert worker.wait() == 0
    flush_all(own_valkey, run)
    later = stage.worker("later").wait_ready()
    later.wait_log(rf"{run.id}\]: a message of generation 1 .* from the checkpoint", 20)
    check(run)


def test_while_a_retry_waits(own_valkey: Valkey, stage: Stage) -> None:
    worker = stage.worker("carrying").wait_ready()
    ledger = Ledger(stage.folder / "retries.jsonl")
    result: AsyncResult[int] = stage.send("items.retries", str(ledger.path), 20)
    wait_for(lambda: len(ledger) == 10, 20, "the first half")
    with own_valkey.client() as client:
        key = f"graceful:{{items}}:run:items.retries:{result.id}"
        wait_for(lambda: client.hget(key, "s") == b"retrying", 20, "that it waits")
        client.flushall()
    assert result.get(timeout=30) == 20
    assert ledger.items() == [*range(20)]
    assert "from the checkpoint in its message" in worker.log()


def test_a_checkpoint_that_was_too_large_to_travel(own_valkey: Valkey, stage: Stage) -> None:
    """What was done is not silently done again."""
    worker = stage.worker("carrying").wait_ready()
    ledger = Ledger(stage.folder / "heavy.jsonl")
    result: AsyncResult[int] = stage.send("items.heavy", str(ledger.path), ITEMS, PAUSE)
    wait_for(lambda: len(ledger) > 20, 20, "some items")
    worker.signal(SIGTERM)
    assert worker.wait() == 0
    done = len(ledger)
    with own_valkey.client() as client:
        client.flushall()
    stage.worker("later")
    with pytest.raises(CheckpointLost, match="start the task anew with cursor="):
        result.get(timeout=30)
    assert len(ledger) == done


def test_a_store_that_refuses_connections(own_valkey: Valkey, stage: Stage) -> None:
    """A crash would repeat what is done without a checkpoint: soon the run waits."""
    worker, run = begun(stage)
    own_valkey.kill()
    killed_at = time.monotonic()

    def waits() -> bool:
        return time.monotonic() - run.ledger.times()[-1] > 1.0

    wait_for(waits, LEASE + 20, "that it waits", interval=0.1)
    longest = FLUSH + 2 * FLUSH  # until it notices, and graceful_store_patience
    assert run.ledger.times()[-1] - killed_at < longest + 1.0 < LEASE
    own_valkey.start()
    worker.wait_log("waits for the store without a slot", 20)
    check(run)


def test_a_mode_that_vanishes(own_valkey: Valkey, stage: Stage) -> None:
    """Workers go on holding what is down, and write it back."""
    stage.settings["graceful_maintenance_poll"] = 0.5
    worker = stage.worker("held").wait_ready()
    app = Celery("items", broker=stage.broker, set_as_current=False)
    app.conf.graceful_store = own_valkey.url
    runtime = runtime_of(app)
    maintenance = Maintenance(lambda: app)
    version = maintenance.down().mode.version

    def heard(least: int) -> bool:
        reports = [decode_report(found.text) for found in runtime.store.texts(REPORTS)]
        return any(report is not None and report.version >= least for report in reports)

    wait_for(lambda: heard(version), 20, "that the worker has paused")
    with own_valkey.client() as client:
        client.flushall()
    worker.wait_log("The maintenance mode had vanished from the store", 20)
    wait_for(lambda: heard(version + 1), 20, "its report")
    assert read(runtime).mode.down
    run = stage.start(STYLES[0], 10, 0)
    plain = stage.send("items.tell", 1, str(stage.folder / "plain"))
    looked = runtime.store.read_text(NOTICES, "maintenance").now
    wait_for(
        lambda: runtime.store.read_text(NOTICES, "maintenance").now > looked + 1.5, 20, "a while"
    )
    assert len(run.ledger) == 0
    assert not plain.ready()
    maintenance.up()
    assert plain.get(timeout=20) is None
    check(run)
    runtime.store.close()

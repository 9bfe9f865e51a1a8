"""A graceful stop in the middle of the task's own transaction: never a success without its rows."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from signal import SIGTERM

import pytest

from celery_graceful.errors import TransactionError
from celery_graceful.model.run.cursor import decode
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.stores.url import open_store
from tests.acceptance.runs import Stage
from tests.harness import Ledger, wait_for

pytestmark = pytest.mark.slow

APP = "tests.acceptance.apps.uncommitted"
#: What the error names; as in the application, items from 32 on are in one transaction.
OPEN = {
    "django": r"a transaction\.atomic\(\) block on the Django database 'default'",
    "sqlite3": r"a transaction of sqlite3\.Connection \(in_transaction\)",
    "sqlalchemy": r"sqlite:////.*/sqlalchemy\.db.*INSERT INTO done",
}
OPENED, READY = 32, 36


def create(folder: Path, name: str) -> None:
    with sqlite3.connect(folder / f"{name}.db") as connection:
        connection.execute("CREATE TABLE done (item INTEGER)")
    connection.close()


def rows(folder: Path, name: str) -> list[int]:
    connection = sqlite3.connect(folder / f"{name}.db")
    found = [item for (item,) in connection.execute("SELECT item FROM done ORDER BY item")]
    connection.close()
    return found


def record(stage: Stage, name: str, task_id: str) -> Record:
    store = open_store(stage.backend, "uncommitted", timeout=30)
    try:
        found = store.load(RunKey(f"uncommitted.{name}", task_id)).record
    finally:
        store.close()
    assert found is not None
    return found


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent"])
def test_a_stop_within_an_open_transaction_is_a_failure_that_says_so(
    redis_stage: Stage, tmp_path: Path, pool: str
) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    ledger = Ledger(tmp_path / "notes.jsonl")
    for name in (*OPEN, "committed"):
        create(tmp_path, name)
    env: dict[str, str | None] = {"LEDGER": str(ledger.path), "ROWS": str(tmp_path)}
    worker = redis_stage.worker("stopped", app=APP, env=env, pool=pool, concurrency=4)
    worker.wait_ready()
    sent = {name: redis_stage.send(f"uncommitted.{name}") for name in (*OPEN, "committed")}
    wait_for(lambda: set(ledger.items()) == set(sent), 60, lambda: worker.log()[-3000:])
    worker.signal(SIGTERM)
    assert worker.wait(30) == 0
    for name, shown in OPEN.items():
        with pytest.raises(TransactionError, match=shown) as told:
            sent[name].get(timeout=30)
        error = str(told.value)
        assert f"uncommitted.{name}: its checkpoint at cursor {READY}" in error
        assert "before the yield" in error, "the first way out"
        way = "Atomic.django()" if name.startswith("django") else "Atomic.sqlalchemy(Session)"
        assert f"atomic = {way}" in error, "the second"
        assert rows(tmp_path, name) == list(range(OPENED)), "what was committed"
        assert record(redis_stage, name, sent[name].id).outcome is Outcome.FAILED
    # Beside them, a run that commits each item goes on elsewhere after its last one.
    left = record(redis_stage, "committed", sent["committed"].id)
    assert left.state is State.INTERRUPTED
    assert left.checkpoint is not None
    assert decode(left.checkpoint).cursor == rows(tmp_path, "committed")[-1] == READY
    assert rows(tmp_path, "committed") == list(range(READY + 1))

"""PROGRESS in a database: each process has one connection for it, and closes it at its end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.runs import Stage
from tests.harness import Ledger, wait_for

pytestmark = pytest.mark.slow

APP = "tests.acceptance.apps.sql_results"
RUNS = 2
#: How often each run has written when connections are counted, and how often more.
FIRST, MORE = 2, 10
WRITER = "celery-graceful-states"


@pytest.mark.parametrize(
    ("backend", "pool"),
    [("sqlalchemy", "prefork"), ("sqlalchemy", "threads"), ("django", "prefork")],
)
def test_one_connection_for_each_process(
    redis_stage: Stage, tmp_path: Path, backend: str, pool: str
) -> None:
    database, ledger = tmp_path / "results.db", Ledger(tmp_path / "notes.jsonl")
    if backend == "django":
        pytest.importorskip("django_celery_results")
    url = "django-db" if backend == "django" else f"db+sqlite:///{database}"
    env: dict[str, str | None] = {
        "LEDGER": str(ledger.path),
        "RESULT_URL": url,
        "DATABASE": str(database),
    }
    worker = redis_stage.worker("progress", app=APP, env=env, pool=pool, concurrency=RUNS)
    worker.wait_ready()
    runs = [redis_stage.send("sql_results.counted").id for _ in range(RUNS)]

    def noted(what: str) -> Counter[str]:
        """How often threads of each process noted it, by their pids and names."""
        words = [str(item).partition(" ") for item in ledger.items()]
        return Counter(rest for found, _, rest in words if found == what)

    def written() -> int:
        return min(sum(noted(f"progress:{run}").values()) for run in runs)

    # Celery opens some when it makes a backend, and closes them at once.
    wait_for(lambda: written() >= FIRST, 90, lambda: worker.log()[-3000:])
    before = noted("opened")
    wait_for(lambda: written() >= FIRST + MORE, 90, lambda: worker.log()[-3000:])
    writers = set().union(*(noted(f"progress:{run}") for run in runs))
    assert {writer.partition(" ")[2] for writer in writers} == {WRITER}
    assert len(writers) == (RUNS if pool == "prefork" else 1)
    opened = {writer: noted("opened")[writer] for writer in writers}
    assert opened == {writer: before[writer] for writer in writers}
    assert {opened[writer] - noted("closed")[writer] for writer in writers} == {1}
    ledger.add("enough")
    worker.signal()
    assert worker.wait() == 0
    closed = {writer: noted("closed")[writer] for writer in writers}
    assert closed == opened

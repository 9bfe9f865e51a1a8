"""Items that kill their process, and items that take longer than a lease."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celery_graceful.errors import MaxCrashesExceeded
from tests.acceptance.runs import Stage
from tests.harness import Ledger, wait_for

pytestmark = pytest.mark.slow

APP = "tests.acceptance.apps.crashing"
LEASE = 3.0


@pytest.fixture
def events(redis_stage: Stage) -> Iterator[list[dict[str, Any]]]:
    """The monitoring events of the plugin that arrive during the test."""
    seen: list[dict[str, Any]] = []
    stop = threading.Event()
    ready = threading.Event()

    def listen() -> None:
        with redis_stage.app.connection_for_read() as connection:
            receiver = redis_stage.app.events.Receiver(connection, handlers={"*": seen.append})
            with receiver.consumer_context() as (own, _, _):
                ready.set()
                while not stop.is_set():
                    try:
                        own.drain_events(timeout=0.2)
                    except TimeoutError:
                        continue

    thread = threading.Thread(target=listen)
    thread.start()
    assert ready.wait(10)
    yield seen
    stop.set()
    thread.join()


def test_a_segfault_is_reported_to_everybody(
    redis_stage: Stage, events: list[dict[str, Any]], tmp_path: Path
) -> None:
    redis_stage.settings.update(graceful_lease_ttl=LEASE, graceful_max_crashes=2)
    ledger = Ledger(tmp_path / "told.jsonl")
    worker = redis_stage.worker("crashing", app=APP, env={"LEDGER": str(ledger.path)})
    worker.wait_ready()
    result = redis_stage.send("crashing.segfault", 10)
    with pytest.raises(MaxCrashesExceeded, match=r"cursor 4 \(5 items done\).*signal 11"):
        result.get(timeout=60)
    found = worker.wait_log(rf"segfault\[{result.id}\] fails after (\d) crash.*cursor 4 .*: (.*)")
    assert found[1] == "2"
    assert found[2] == "signal 11 (SIGSEGV)"
    assert ledger.items() == [["gave up", "crashing.segfault", result.id, 4, "signal 11 (SIGSEGV)"]]
    event = wait_for(
        lambda: next((e for e in events if e["type"] == "graceful-run-gave-up"), None),
        10,
        "the event",
    )
    assert event is not None
    assert (event["uuid"], event["name"], event["cursor"]) == (result.id, "crashing.segfault", "4")


def test_exactly_one_item_is_in_doubt(stage: Stage, tmp_path: Path) -> None:
    stage.settings.update(graceful_lease_ttl=LEASE)
    stage.worker("calling", app=APP, env={"LEDGER": str(tmp_path / "none")}).wait_ready()
    service = Ledger(tmp_path / "service.jsonl")
    assert stage.send("crashing.calling", str(service.path), 20).get(timeout=60) == 20
    entries = service.items()
    calls = Counter(item for item in entries if isinstance(item, int))
    assert calls == Counter(range(20)), "each item was called once"
    doubts = [item[1] for item in entries if isinstance(item, list) and item[1] is not None]
    assert doubts == [7, 12], "told once for each crash, and only of that item"


POOLS = ("prefork", "threads", "solo", "gevent")
#: Seconds that an item takes: twice as long as a lease.
LONG_LEASE, LONG = 4.0, 9.0


@pytest.mark.parametrize("how", ["blocks", pytest.param("never yields", marks=pytest.mark.matrix)])
def test_a_long_item_keeps_its_lease(redis_stage: Stage, tmp_path: Path, how: str) -> None:
    """On all pools at a time; nothing else runs in the item's process meanwhile."""
    pytest.importorskip("gevent")
    redis_stage.settings.update(graceful_lease_ttl=LONG_LEASE, graceful_rescue_interval=0.2)
    env: dict[str, str | None] = {"LEDGER": str(tmp_path / "none")}
    workers = [
        redis_stage.worker(pool, "-Q", pool, app=APP, env=env, pool=pool, concurrency=1)
        for pool in POOLS
    ]
    other = redis_stage.worker("other", "-Q", "nothing", app=APP, env=env)
    for worker in (*workers, other):
        worker.wait_ready()
    ledgers = {pool: Ledger(tmp_path / f"{pool}.jsonl") for pool in POOLS}
    results = {
        pool: redis_stage.send(
            *("crashing.long_item", str(ledger.path), 1, LONG),
            "holds the lock" if pool == "prefork" else how,
            queue=pool,
        )
        for pool, ledger in ledgers.items()
    }
    for pool, result in results.items():
        result.get(timeout=90)
        assert ledgers[pool].items() == [0], pool
    assert "Rescued" not in "".join(worker.log() for worker in (*workers, other))

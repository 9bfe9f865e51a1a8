"""A store that is slow, silent or damaged, at each point where a run needs it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest

from celery_graceful.errors import CorruptRecord
from celery_graceful.model.run.record import RunKey
from celery_graceful.stores.url import open_store
from tests.acceptance.runs import STYLES, Run, Stage
from tests.harness import Ledger, Worker, wait_for
from tests.integration.stores.written import Elsewhere
from tests.servers import Valkey
from tests.servers.proxy import Proxy, proxy

pytestmark = pytest.mark.slow

ITEMS, PAUSE = 2000, 0.02
LEASE, FLUSH, TIMEOUT = 3.0, 0.3, 1.0
SETTINGS = {
    "graceful_lease_ttl": LEASE,
    "graceful_checkpoint_interval": FLUSH,
    "graceful_store_timeout": TIMEOUT,
}


@pytest.fixture
def stage(own_valkey: Valkey, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    """A stage whose store can be stopped by itself."""
    with Stage(redis_url, redis_url, tmp_path, store=own_valkey.url).open() as stage:
        stage.settings.update(SETTINGS)
        yield stage


@pytest.fixture
def slow(own_valkey: Valkey, stage: Stage) -> Iterator[Proxy]:
    """The same, with a store that takes half of the time it may for each call."""
    with proxy(own_valkey.port) as slow:
        stage.settings["graceful_store"] = own_valkey.url.replace(
            f":{own_valkey.port}/", f":{slow.port}/"
        )
        slow.delay = TIMEOUT / 2
        yield slow


def begun(stage: Stage, style: str = STYLES[0], **options: str) -> tuple[Worker, Run]:
    """A worker, and a run that it has begun and saved."""
    worker = stage.worker("carrying").wait_ready()
    run = stage.start(style, ITEMS, PAUSE, **options)
    run.wait_items(1)
    first = run.ledger.times()[0]
    wait_for(lambda: run.ledger.times()[-1] > first + 2 * FLUSH + 2 * TIMEOUT, 20, "some flushes")
    return worker, run


def others_go_on(stage: Stage, name: str) -> None:
    """Tasks that need no store are done as ever."""
    path = stage.folder / name
    for number in range(5):
        assert stage.send("items.tell", number, str(path)).get(timeout=20) is None
    assert len(Ledger(path)) == 5


# -- slow ------------------------------------------------------------------------------------


def test_a_slow_store_when_a_child_dies_and_at_a_stop(stage: Stage, slow: Proxy) -> None:
    waiting = stage.waiting().wait_ready()
    worker, run = begun(stage)
    others_go_on(stage, "plain")
    killed_at = time.monotonic()
    os.kill(run.ledger.entries()[-1].pid, SIGKILL)
    assert run.wait_resumed(killed_at) < LEASE + 22
    last = max(entry.item for entry in run.ledger.entries() if entry.at <= killed_at)
    wait_for(lambda: run.ledger.items()[-1] > last + 20, 30, "items that are new")
    stage.let_in(waiting)
    stopped_at = time.monotonic()
    worker.signal(SIGTERM)
    assert worker.wait() == 0
    assert time.monotonic() - stopped_at < 20
    run.wait_resumed(stopped_at)
    run.hurry()
    run.check_result()
    assert not run.lost()
    assert run.repeated().total() <= run.done_in(1.5 * FLUSH + 2 * TIMEOUT, killed_at)
    assert not [item for item in run.repeated() if item > last], "the stop repeats nothing"


# -- silent ----------------------------------------------------------------------------------


def test_silent_at_admission(own_valkey: Valkey, stage: Stage) -> None:
    """The message waits; ``autoretry_for = (Exception,)`` leaves that alone."""
    worker = stage.worker("carrying", concurrency=3).wait_ready()
    own_valkey.freeze()
    run = stage.start(STYLES[0], 50, PAUSE)
    ledger = Ledger(stage.folder / "ledger.jsonl")
    retries = stage.send("items.stubborn", str(ledger.path), 10)
    others_go_on(stage, "plain")
    for task_id in (run.id, retries.id):
        worker.wait_log(rf"\[{task_id}\] waits: nobody can say", LEASE + 25)
    assert run.ledger.items() == []
    own_valkey.thaw()
    run.check_result()
    run.check_exact()
    assert retries.get(timeout=60) == 0, "retries that were used up"
    assert ledger.items() == [*range(10)]


def test_a_stop_while_the_store_is_silent_at_admission(own_valkey: Valkey, stage: Stage) -> None:
    """What waits to be admitted holds up no stop, and is there for the next worker."""
    stage.settings["graceful_lease_ttl"] = 60.0
    worker = stage.worker("carrying").wait_ready()
    own_valkey.freeze()
    run = stage.start(STYLES[0], 50, PAUSE)
    worker.wait_log(rf"\[{run.id}\] waits: nobody can say", 30)
    stopped_at = time.monotonic()
    worker.signal(SIGTERM)
    assert worker.wait() == 0
    assert time.monotonic() - stopped_at < 25
    own_valkey.thaw()
    stage.worker("later")
    run.check_result()
    run.check_exact()


def test_silent_for_longer_than_a_lease(own_valkey: Valkey, stage: Stage) -> None:
    """The runner leaves its slot, and nobody else goes on before the store is back."""
    other = stage.waiting("other").wait_ready()
    worker, run = begun(stage)
    stage.let_in(other)
    own_valkey.freeze()
    others_go_on(stage, "plain")

    def paused() -> bool:
        return time.monotonic() - run.ledger.times()[-1] > LEASE

    wait_for(paused, 30, "the runner to pause", interval=0.1)
    own_valkey.thaw()
    worker.wait_log(rf"\[{run.id}\] .* waits for the store without a slot", 20)
    run.hurry()
    run.check_result()
    run.check_exact()
    assert "Rescued" not in worker.log() + other.log()


def test_silent_at_the_hand_over(own_valkey: Valkey, stage: Stage) -> None:
    worker, run = begun(stage)
    own_valkey.freeze()
    stopped_at = time.monotonic()
    worker.signal(SIGTERM)
    assert worker.wait() == 0
    assert time.monotonic() - stopped_at < LEASE + 20
    worker.wait_log(rf"\[{run.id}\] .* waits for the store without a slot: shutdown")
    own_valkey.thaw()
    stage.worker("later")
    run.wait_resumed(stopped_at)
    run.hurry()
    run.check_result()
    run.check_exact()


@pytest.mark.parametrize("outcome", ["error", pytest.param("result", marks=pytest.mark.matrix)])
def test_silent_at_the_end(own_valkey: Valkey, stage: Stage, outcome: str) -> None:
    """The outcome is told once, when the store knows it, and not as the store's own failure."""
    worker = stage.worker("carrying").wait_ready()
    other = stage.worker("other").wait_ready()
    ledger, told = Ledger(stage.folder / "end.jsonl"), stage.folder / "told.jsonl"
    result = stage.send(
        "items.ends",
        *(str(ledger.path), outcome),
        link=stage.callback("items.tell", told),
        link_error=stage.callback("items.tell_error", told),
    )
    wait_for(lambda: len(ledger) >= 1, 20, "the first item")
    first = ledger.times()[0]
    wait_for(lambda: ledger.times()[-1] > first + 3 * FLUSH, 20, "some flushes")
    own_valkey.freeze()
    ledger.path.with_name("end.jsonl.hurry").touch()
    wait_for(lambda: "last" in ledger.items(), 20, "the last item")
    ended_at = time.monotonic()
    wait_for(lambda: time.monotonic() > ended_at + LEASE + 2, 20, "a lease", interval=0.1)
    assert not result.ready()
    own_valkey.thaw()
    if outcome == "result":
        assert result.get(timeout=30) == "done"
    else:
        with pytest.raises(ZeroDivisionError):
            result.get(timeout=30)
    wait_for(lambda: len(Ledger(told)) > 0, 30, "the callback")
    assert Ledger(told).items() == ["'done'" if outcome == "result" else "ZeroDivisionError"]
    assert set(ledger.counts().values()) == {1}
    assert "Rescued" not in worker.log() + other.log()


# -- no memory left --------------------------------------------------------------------------


def test_a_store_without_memory_is_waited_for(own_valkey: Valkey, stage: Stage) -> None:
    worker, run = begun(stage)
    with own_valkey.client() as client:
        client.config_set("maxmemory", "100kb")
        second = stage.start(STYLES[1], 50, PAUSE)
        worker.wait_log(r" waits: .*no memory left", 20)
        worker.wait_log(rf"\[{run.id}\]: the checkpoint .* could not be saved.*no memory left", 20)
        client.config_set("maxmemory", "0")
    second.check_result()
    second.check_exact()
    run.hurry()
    run.check_result()
    assert not run.lost()


# -- damaged ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["fixed", "deleted"])
def test_a_damaged_record(own_valkey: Valkey, stage: Stage, how: str) -> None:
    """As docs/how-to/operate-runs.md says."""
    worker, run = begun(stage)
    worker.signal(SIGTERM)
    assert worker.wait() == 0
    key, elsewhere = RunKey(STYLES[0], run.id), Elsewhere(own_valkey.url, "items")
    summary = elsewhere.summary(key)
    text = json.dumps(summary)
    elsewhere.rewrite(key, text[:50])
    done = len(run.ledger)
    later = stage.worker("later").wait_ready()
    with pytest.raises(CorruptRecord, match=rf"graceful:{{items}}:run:{STYLES[0]}:{run.id}"):
        run.result.get(timeout=30)
    assert len(run.ledger) == done
    others_go_on(stage, "plain")
    run.hurry()
    if how == "fixed":
        elsewhere.rewrite(key, text)
        later.wait_log(rf"Rescued {STYLES[0]}\[{run.id}\]", LEASE + 30)
        # An AsyncResult remembers the failure it has seen.
        wait_for(lambda: stage.app.AsyncResult(run.id).state == "SUCCESS", 30, "its result")
    else:
        with own_valkey.client() as client:
            client.delete(f"graceful:{{items}}:run:{STYLES[0]}:{run.id}")
        stage.send(STYLES[0], str(run.ledger.path), ITEMS, PAUSE, task_id=run.id)
        # Nobody told it where to begin: from the beginning.
        wait_for(lambda: run.ledger.counts()[ITEMS - 1] == 1, 30, "the last item")
        store = open_store(own_valkey.url, "items")
        wait_for(lambda: not getattr(store.load(key).record, "live", True), 20, "its end")
        store.close()
    assert not run.lost()
    if how == "fixed":
        run.check_exact()

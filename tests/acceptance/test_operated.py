"""The verbs on a real worker: how soon they have an effect, and what becomes of the run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from celery_graceful import Graceful
from celery_graceful.runs.api import Runs
from celery_graceful.runtime import runtime_of
from tests.acceptance.conftest import Figure
from tests.acceptance.scene import Scene, StartWorker, signatures
from tests.harness import Ledger, wait_for

pytestmark = pytest.mark.slow

#: Far more than a test has time for.
ENDLESS = 100_000
#: Within so many seconds a verb has an effect, and within the item that is under way.
SOON, ITEM = 1.0, 0.01


class Shop:
    """An operator's side of a worker."""

    def __init__(self, scene: Scene, app: Celery) -> None:
        self.scene, self.app = scene, app
        self.runs: Runs = Graceful(app).runs
        self.signature = signatures(app, "operated")

    def begin(self, task: str, tag: str, *args: Any, **options: Any) -> Any:
        """Send a run, and wait until it has done some items."""
        result = self.signature(task, tag, *args).apply_async(**options)
        self.wait_items(tag, 3)
        return result

    def wait_items(self, tag: str, least: int) -> None:
        wait_for(lambda: len(self.scene.items(tag)) >= least, 30, f"items of {tag}")

    def wait_state(self, run_id: str, state: str) -> None:
        wait_for(lambda: self.runs.get(run_id).state == state, 30, f"{run_id} {state}")

    def last_item(self, tag: str) -> float:
        """When the last item was done."""
        noted = self.scene.ledger.entries()
        return max(each.at for each in noted if str(each.item).startswith(f"{tag}:"))

    def wait_noted(self, what: str, after: float) -> float:
        """When something was noted first after a moment."""

        def times() -> list[float]:
            entries = self.scene.ledger.entries()
            return [each.at for each in entries if each.item == what and each.at > after]

        found = wait_for(times, 10, what)
        assert found
        return min(found)


@pytest.fixture
def shop(redis_url: str, ledger: Ledger, start_worker: StartWorker) -> Iterator[Shop]:
    scene = Scene("operated", redis_url, redis_url, ledger, start_worker)
    # Checkpoints far apart: operators are heard all the same.
    scene.settings = {"graceful_store": redis_url, "graceful_checkpoint_interval": 60}
    scene.worker("-Q", "celery,bulk", concurrency=6)
    with scene.producer() as app:
        app.main = "operated"
        yield Shop(scene, app)
        runtime_of(app).store.close()


def test_verbs_on_a_real_worker(shop: Shop, figure: Figure) -> None:
    """One worker for all of it: they take a second each to start."""
    _pause_and_adjust_soon(shop, figure)
    _retry(shop)
    _rewind_and_fork(shop)
    _release(shop)
    _many(shop)


def _pause_and_adjust_soon(shop: Shop, figure: Figure) -> None:
    shop.begin("counted", "paused", ENDLESS, task_id="paused")
    shop.begin("batched", "batched", task_id="batched")
    took: dict[str, list[float]] = {"pause": [], "adjust": []}
    for size in (3, 4, 5):
        done = len(shop.scene.items("paused"))
        asked = time.monotonic()
        shop.runs.adjust("batched", batch_size=size)
        shop.runs.pause("paused", reason="disk full", who="ann")
        shop.wait_state("paused", "paused")
        took["pause"].append(shop.last_item("paused") - asked)
        took["adjust"].append(shop.wait_noted(f"batched:{size}", asked) - asked)
        shop.runs.resume("paused")
        shop.wait_items("paused", done + 3)
    for verb, seconds in took.items():
        figure(f"{verb}: median", statistics.median(seconds))
        figure(f"{verb}: worst", max(seconds))
        assert max(seconds) <= SOON + 10 * ITEM, took
    shop.scene.check_items("paused")
    run = shop.runs.get("batched")
    assert [action.verb for action in run.actions] == ["adjust"] * 3
    shop.runs.adjust("batched", queue="bulk")
    shop.runs.pause("batched")
    shop.wait_state("batched", "paused")
    done = len(shop.scene.items("batched"))
    shop.runs.resume("batched")
    shop.wait_items("batched", done + 3)
    assert shop.runs.get("batched").queue == "bulk"
    assert shop.scene.items("batched")[-1] == 5, "the next execution knows it too"


def _retry(shop: Shop) -> None:
    link, errback = shop.signature("tell", "link"), shop.signature("tell_error", "errback")
    send = shop.signature("counted", "fails", 9)
    result = send.apply_async(task_id="fails", link=link, link_error=errback)
    with pytest.raises(ValueError, match="a bad row"):
        result.get(timeout=30)
    shop.wait_state("fails", "failed")
    shop.runs.retry("fails")
    wait_for(lambda: shop.scene.ledger.counts()["errback"] == 2, 30, "it to fail again")
    shop.wait_state("fails", "failed")
    shop.scene.ledger.add("fails is fixed")
    shop.runs.retry("fails", reason="fixed", who="ann")
    again = shop.app.AsyncResult("fails")
    assert again.get(timeout=30) == sum(range(10)), "with its carry"
    wait_for(lambda: shop.scene.ledger.counts()[f"link={sum(range(10))}"], 30, "the link")
    shop.scene.check_items("fails")
    assert shop.scene.items("fails") == list(range(1, 10))
    assert shop.scene.ledger.counts()["errback"] == 2
    shop.wait_state("fails", "completed")
    assert [each.reason for each in shop.runs.get("fails").executions].count("failed") == 2


def _rewind_and_fork(shop: Shop) -> None:
    shop.runs.pause("paused")
    shop.wait_state("paused", "paused")
    at = shop.runs.get("paused").cursor
    sent = shop.runs.fork("paused").sent
    assert sent is not None
    wait_for(lambda: shop.runs.get(sent).state == "running", 30, "the fork")
    wait_for(lambda: shop.scene.items("paused")[-1] > at, 30, "items of the fork")
    shop.runs.cancel(sent)
    shop.wait_state(sent, "cancelled")
    assert sorted(set(shop.scene.items("paused"))) == shop.scene.items("paused"), "it went on there"
    change = shop.runs.retry("paused", cursor=2)
    assert (change.before.cursor, change.run.cursor) == (at, 2)
    wait_for(lambda: shop.scene.ledger.counts()["paused:3"] == 2, 30, "the first item behind it")
    assert shop.scene.ledger.counts()["paused:2"] == 1


def _release(shop: Shop) -> None:
    result = shop.signature("counted", "hangs", 9).apply_async(task_id="hangs")
    wait_for(lambda: shop.scene.ledger.counts()["hangs hangs"], 30, "it to hang")
    change = shop.runs.release("hangs")
    assert change.run.state == "interrupted"
    assert result.get(timeout=30) == sum(range(10))
    shop.scene.ledger.add("hangs goes on")
    shop.wait_state("hangs", "completed")
    counts = shop.scene.ledger.counts()
    assert [counts[f"hangs:{item}"] for item in (8, 9)] == [1, 1], "the stuck one did no more"


def _many(shop: Shop) -> None:
    for name in ("many-1", "many-2"):
        shop.begin("counted", name, ENDLESS, task_id=name)
    asked = time.monotonic()
    results = list(shop.runs.apply_all("cancel", state="running", task="operated.*", who="ann"))
    assert {each.run.id for each in results} >= {"many-1", "many-2", "batched"}
    assert [each.refused for each in results] == [""] * len(results)
    for each in results:
        shop.wait_state(each.run.id, "cancelled")
    assert shop.last_item("many-1") - asked <= SOON + 10 * ITEM

"""Tasks take part in a stop: a hook while they run, an exception when they are cut off."""

from __future__ import annotations

import re
import time
from signal import SIGTERM
from typing import Any

import pytest
from celery.result import AsyncResult

from celery_graceful.errors import CutOffError
from tests.acceptance.runs import Stage
from tests.harness import Ledger, Worker, wait_for

APP = "tests.acceptance.apps.attending"
POOLS = ("prefork", "threads", "solo", "gevent")
MORE = ("items", "catching")
#: The grace period and the margin, in seconds: tasks have what is between, a worker the rest.
#: A gevent worker may notice the stop 4 s late.
GRACE = {"gevent": (30.0, 25.0)}
USUAL = (30.0, 28.5)


class Attending:
    """Tasks of one test, on one kind of pool."""

    def __init__(self, stage: Stage, pool: str) -> None:
        self.stage, self.pool = stage, pool
        self.ledger = Ledger(stage.folder / "attending.jsonl")
        self.grace, self.margin = GRACE.get(pool, USUAL)

    def worker(self, name: str) -> Worker:
        settings = {
            "graceful_grace_period": self.grace,
            "graceful_kill_margin": self.margin,
        }
        worker = self.stage.worker(name, app=APP, pool=self.pool, concurrency=8, settings=settings)
        return worker.wait_ready()

    def send(self, task: str, tag: str, *args: Any) -> AsyncResult[Any]:
        return self.stage.send(f"attending.{task}", str(self.ledger.path), tag, *args)

    def wait(self, *items: str, timeout: float = 20) -> None:
        wait_for(
            lambda: set(items) <= set(self.ledger.items()),
            timeout,
            lambda: f"{items}, there is {self.ledger.items()}",
        )

    def told(self, tag: str) -> list[str]:
        return [str(i) for i in self.ledger.items() if str(i).startswith(f"{tag} told")]


@pytest.fixture(params=POOLS)
def attending(request: pytest.FixtureRequest, redis_stage: Stage) -> Attending:
    if request.param == "gevent":
        pytest.importorskip("gevent")
    return Attending(redis_stage, request.param)


def test_the_hook_is_called_once_while_the_task_runs(attending: Attending) -> None:
    attending.grace, attending.margin = 30.0, 5.0  # nobody is cut off
    solo = attending.pool == "solo"
    tags = ["plain"] if solo else ["plain", "bad", "slow", "fails"]
    worker = attending.worker("first")
    attending.send("watch", "past", 0).get(timeout=20)
    sent = {tag: attending.send("watch", tag, 30) for tag in tags}
    attending.wait(*(f"{tag} begin" for tag in tags))
    stopped_at = time.monotonic()
    worker.signal(SIGTERM)
    worker.wait()
    assert attending.told("past") == []
    for tag in tags:
        (line,) = attending.told(tag)
        found = re.fullmatch(rf"{tag} told shutdown (\S+) (\S+)", line)
        assert found is not None, line
        until_cut = attending.grace - attending.margin
        assert until_cut - 10 <= float(found[1]) <= until_cut
        assert found[2] == sent[tag].id
    heard = [e.at for e in attending.ledger.entries() if " told " in str(e.item)]
    assert max(heard) - stopped_at < 10
    assert sent["plain"].get(timeout=20) == "plain"
    if not solo:
        assert sent["bad"].get(timeout=20) == "bad"
        assert re.search(r"attending\.watch\[\S+\]: on_stop_requested failed", worker.log())
        with pytest.raises(RuntimeError, match="fails"):
            sent["fails"].get(timeout=20)


#: What each task returns; the early-acked one is lost.
CUT_OFF = {"late": "again", "items": None, "early": CutOffError, "catching": "half"}


@pytest.mark.parametrize("attending", ["prefork", "threads", "gevent"], indirect=True)
def test_all_kinds_of_tasks_are_cut_off(attending: Attending) -> None:
    """Late-acked ones go back, early-acked ones fail, and what catches it counts."""
    cut_off(attending, {**CUT_OFF, "going_on": "went on"})


@pytest.mark.parametrize("attending", ["solo"], indirect=True)
@pytest.mark.parametrize(
    "task", ["late", "early", *(pytest.param(t, marks=pytest.mark.matrix) for t in MORE)]
)
def test_a_task_on_solo_is_cut_off(attending: Attending, task: str) -> None:
    cut_off(attending, {task: CUT_OFF[task]})


def cut_off(attending: Attending, tasks: dict[str, Any]) -> None:
    """Stop a worker that runs these tasks, each with its name as tag; then start another."""
    first = attending.worker("first")
    results = {task: attending.send(task, task) for task in tasks}
    attending.wait(*(f"{task} begin" for task in tasks))
    if "items" in tasks:  # told while all is well
        first.wait_log(
            rf"WARNING.*attending\.items\[{results['items'].id}\]: an item after cursor \d"
            r" \(item 3 of this execution\) has run for \S+ s, and a stop leaves tasks",
        )
    first.signal(SIGTERM)
    attending.wait(*(f"{task} finally" for task in tasks))
    first.wait()
    goes_back = {"late", "items"} & set(tasks)
    for task in goes_back:
        assert re.search(
            rf"attending\.{task}\[\S+\] was cut off after \S+ s: its message goes back", first.log()
        )
    if goes_back or "going_on" in tasks:
        attending.worker("second")
    for task, expected in tasks.items():
        if expected is CutOffError:
            with pytest.raises(CutOffError, match="was cut off after"):
                results[task].get(timeout=20)
        else:
            assert results[task].get(timeout=20) == expected, task
    if "items" in tasks:
        done = [i for i in attending.ledger.items() if " item " in i]
        assert done == [f"items item {n}" for n in range(1, 6)]


def test_a_run_leaves_before_an_item_that_its_time_limit_would_cut_off(
    redis_stage: Stage,
) -> None:
    attending = Attending(redis_stage, "prefork")
    worker = attending.worker("first")
    attending.send("limited", "x").get(timeout=60)
    done = [i for i in attending.ledger.items() if " item " in i]
    assert done == [f"x item {n}" for n in range(1, 5)]
    assert "max_execution_time" in worker.log()
    assert "TimeLimitExceeded" not in worker.log()

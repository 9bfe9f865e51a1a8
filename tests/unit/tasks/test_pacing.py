"""Pacing by the items' history: leaving in time, warnings, smaller batches."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Ignore

from celery_graceful import IterableTask, sources
from celery_graceful._celery.message.headers import RAW
from celery_graceful.doctor.facts.running_workers import look_around
from celery_graceful.execution.loop import pacing
from celery_graceful.execution.stopping.limits import ExecutionOptions
from celery_graceful.model.pace import Pace
from celery_graceful.model.run.cursor import decode
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.runtime import runtime_of
from celery_graceful.stop import flag
from tests.harness import wait_for

RUN = RunKey("proj.task", "id")


@pytest.fixture(autouse=True)
def _nobody_was_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "_warned", set())


@pytest.fixture
def shared() -> Iterator[flag.StopFlag]:
    yield flag.owned("pacing")
    flag.withdraw()


@pytest.fixture
def worker(make_app: Any, shared: flag.StopFlag) -> Iterator[Any]:
    """An app in whose tasks all is as in a worker."""
    app = make_app(graceful_store=f"memory://{uuid.uuid4()}", graceful_checkpoint_interval=0.2)
    yield app
    runtime_of(app).store.close()


def deliver(task: Any, *args: Any, limits: Any = (None, None)) -> Record:
    """Carry a run by a first delivery; returns its record."""
    run = uuid.uuid4().hex
    body = json.dumps([args, {}, {"callbacks": None, "errbacks": None, "chain": None}])
    headers = {"id": run, "task": task.name, "lang": "py"}
    raw = (body.encode(), "application/json", "utf-8", headers)
    task.push_request(
        id=run,
        called_directly=False,
        is_eager=False,
        args=args,
        kwargs={},
        timelimit=list(limits),
        hostname="pacing",
        delivery_info={"exchange": "", "routing_key": "celery", "redelivered": False},
        properties={"correlation_id": run, RAW: raw},
    )
    try:
        task.run(*args)
    except Ignore:
        pass
    finally:
        task.pop_request()
    record = runtime_of(task.app).store.load(RunKey(task.name, run)).record
    assert record is not None
    return record


def napping(app: Any, **options: Any) -> Any:
    """A task whose items take as long as its argument says."""

    name = f"proj.nap_{uuid.uuid4().hex}"

    @app.task(base=IterableTask, name=name, shared=False, **options)
    def nap(seconds: float, items: int, *, cursor: int = 0) -> Iterator[int]:
        for item in range(cursor + 1, items + 1):
            time.sleep(seconds)
            yield item

    return app.tasks[name]


def test_a_execution_leaves_before_an_item_that_would_overrun_it(worker: Any) -> None:
    record = deliver(napping(worker, max_execution_time=1.5), 0.6, 20)
    assert record.reason == "max_execution_time"
    # A third one would have ended after 1.8 s; where the machine stalls, so would a second.
    assert record.steps in (1, 2)


def test_a_execution_leaves_before_an_item_that_a_time_limit_would_cut_off(worker: Any) -> None:
    record = deliver(napping(worker, max_execution_time=0), 0.6, 20, limits=(1.5, None))
    assert record.reason == "max_execution_time"
    assert record.steps in (1, 2)


def test_short_items_go_on_to_the_end_of_the_execution(worker: Any) -> None:
    began = time.monotonic()
    record = deliver(napping(worker, max_execution_time=1.5), 0.01, 10_000)
    assert record.reason == "max_execution_time"
    assert 0.5 < time.monotonic() - began < 50  # all items take 100 s


def test_an_item_that_is_longer_than_a_execution_is_tried(
    worker: Any,
) -> None:
    task = napping(worker, max_execution_time=0.2)
    record = deliver(task, 0.5, 3)
    assert (record.reason, record.steps) == ("max_execution_time", 1)


def test_the_history_travels_when_it_says_something(worker: Any) -> None:
    task = napping(worker)
    slow = deliver(task, 0.4, 3)
    assert 0.3 <= Pace(decode(slow.checkpoint or "").pace).p95 <= 10
    seen = look_around(runtime_of(worker)).items
    assert seen[task.name] == Pace(decode(slow.checkpoint or "").pace).p95
    # Where the machine stalls, an item takes long after all.
    fast = [deliver(napping(worker), 0.0, 3).checkpoint or "" for _ in range(5)]
    assert [checkpoint for checkpoint in fast if "pace" not in checkpoint]


def test_an_item_longer_than_the_grace_period_is_told_while_it_runs(
    worker: Any, shared: flag.StopFlag, caplog: pytest.LogCaptureFixture
) -> None:
    shared.set_for_tasks(0.3)
    told_at: list[bool] = []

    def told() -> list[str]:
        return [r.getMessage() for r in caplog.records if "a stop leaves tasks" in r.getMessage()]

    @worker.task(base=IterableTask, name="proj.long", shared=False)
    def long(*, cursor: int = 0) -> Iterator[int]:
        for item in range(cursor + 1, 4):
            if item == 1:
                wait_for(told, 30, "a warning")
            told_at.append(bool(told()))
            time.sleep(0.4)
            yield item

    with caplog.at_level(logging.WARNING):
        deliver(long)
    assert told_at[0]
    (line,) = told()
    assert "proj.long[" in line
    assert re.search(
        r"an item after cursor None \(item 1 of this execution\) has run for \d+\.", line
    )


def test_batches_shrink_until_they_fit_and_the_next_execution_knows(
    worker: Any, shared: flag.StopFlag
) -> None:
    shared.set_for_tasks(2.0)  # a batch may take 0.4 s

    class Batched(IterableTask):
        name = "proj.batched"
        max_execution_time = 4
        sizes: list[int] = []  # noqa: RUF012

        def build_enumerator(self, *, cursor: int | None) -> Any:
            yield from sources.batches(sources.numbers(0, 10_000, cursor=cursor), 100)

        def each_iteration(self, batch: list[int]) -> None:
            self.sizes.append(len(batch))
            time.sleep(0.01 * len(batch))

    task = worker.register_task(Batched())

    record = deliver(task)
    assert task.sizes[0] == 100
    assert 0 < task.sizes[-1] <= 25  # smaller where the machine stalls
    assert task.sizes == sorted(task.sizes, reverse=True)
    assert decode(record.checkpoint or "").batch == task.sizes[-1]


def test_batches_keep_their_size_where_nobody_knows_the_grace_period(worker: Any) -> None:
    sizes: list[int] = []

    class Batched(IterableTask):
        name = "proj.batched_freely"

        def build_enumerator(self, *, cursor: int | None) -> Any:
            return sources.batches(sources.numbers(0, 60, cursor=cursor), 20)

        def each_iteration(self, batch: list[int]) -> None:
            sizes.append(len(batch))
            time.sleep(0.2)

    deliver(worker.register_task(Batched()))
    assert sizes == [20, 20, 20]


def test_no_item_begins_that_the_worker_would_cut_off(shared: flag.StopFlag) -> None:
    execution: Any = SimpleNamespace(pace=Pace())
    execution.pace.add(2.0)
    pace = pacing.Pacing(execution, shared, ExecutionOptions(1.0, 0.0), RUN)
    now = time.monotonic()
    shared.set_cut(now + 1)
    assert not pace.would_be_cut(now)  # nobody stops
    shared.raise_(StopReason.SHUTDOWN)
    assert pace.would_be_cut(now)
    shared.set_cut(now + 10)
    assert not pace.would_be_cut(now)
    assert pace.would_be_cut(now + 8)


def test_after_one_slow_item_executions_grow_again(shared: flag.StopFlag) -> None:
    """Though each ends before a tick has seen what its only item takes."""
    options = ExecutionOptions(1.0, max_execution_time=0.5)
    execution: Any = SimpleNamespace(pace=Pace())
    execution.pace.add(2.0)
    executions = 0
    while executions < 100:
        one, now = pacing.Pacing(execution, shared, options, RUN), time.monotonic()
        if not one.overruns(now + 0.005):
            break
        one.left_early(now + 0.005, 1)
        executions += 1
    assert 0 < executions < 30

"""Starts under one key, on each kind of store: at the same moment, and with a starter that dies."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from celery import Celery

from celery_graceful import Graceful, IterableTask
from celery_graceful.runs.lost.rescue import Rescuer
from celery_graceful.runs.oneoff import start as starting
from celery_graceful.runtime import Runtime, runtime_of
from tests.harness.delivered import InProcess
from tests.harness.waiting import wait_for

KEY, TASK = "backfill-2026-11", "proj.items"
STARTERS = 8


class Died(BaseException):
    """The starter's process is gone."""


class Project:
    """An app on a store, and what its items did."""

    def __init__(self, store_url: str) -> None:
        self.app = app = Celery("proj", broker="memory://", set_as_current=False)
        app.conf.update(graceful_store=store_url, graceful_lease_ttl=1, task_ignore_result=True)
        # What is sent again for a starter that died has to be as it would have sent it.
        app.conf.update(task_default_queue=store_url[-40:], task_compression="gzip")
        self.runs = Graceful(app).runs
        self.done: list[int] = []

        @app.task(base=IterableTask, name=TASK, shared=False)
        def items(many: int, *, cursor: int | None = None) -> Iterator[int]:
            for number in range(0 if cursor is None else cursor + 1, many):
                self.done.append(number)
                yield number

        app.finalize()
        self.worker = InProcess(app)

    @property
    def runtime(self) -> Runtime:
        return runtime_of(self.app)

    def deliver(self) -> int:
        return self.worker.deliver_all(self.app.conf.task_default_queue)


@pytest.fixture
def project(store_url: str) -> Iterator[Project]:
    project = Project(store_url)
    yield project
    project.runtime.store.close()
    project.app.close()


def test_of_starts_at_the_same_moment_one_starts_a_run(project: Project) -> None:
    together = threading.Barrier(STARTERS)
    started: list[starting.Started] = []
    failed: list[BaseException] = []

    def start() -> None:
        together.wait(30)
        try:
            started.append(project.runs.start_or_join(TASK, [3], once=KEY))
        except BaseException as exc:
            failed.append(exc)

    threads = [threading.Thread(target=start) for _ in range(STARTERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert len({each.run.id for each in started}) == 1
    how = [each.how for each in started]
    assert (how.count(starting.How.STARTED), len(how)) == (1, STARTERS)
    assert project.deliver() == 1
    assert project.done == [0, 1, 2]
    again = project.runs.start_or_join(TASK, [3], once=KEY)
    assert again.how is starting.How.COMPLETED
    assert project.runs.get(KEY).steps == 3


@pytest.mark.parametrize("at", ["write_claim", "transition", "publish"])
def test_a_starter_that_dies_does_not_block_its_key(
    project: Project, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the claim, before the record; after the record, before the message."""
    with monkeypatch.context() as patch, suppress(Died):
        if at == "publish":
            patch.setattr("kombu.Producer.publish", _dying)
        else:
            patch.setattr(starting, at, _after(getattr(starting, at)))
        project.runs.start(TASK, [3], once=KEY)
    assert project.deliver() == 0
    if at == "write_claim":
        run = project.runs.start(TASK, [3], once=KEY)
        executions = project.deliver()
    else:
        run = project.runs.get(KEY)
        assert (run.state, run.once) == ("queued", KEY)
        executions = _rescued(project)
    assert executions == 1
    assert project.done == [0, 1, 2]
    assert project.runs.wait(KEY, timeout=10).state == "completed"
    assert project.runs.start(TASK, [3], once=KEY).id == run.id
    assert project.deliver() == 0


def _after(call: Any) -> Any:
    def call_and_die(*args: Any, **options: Any) -> Any:
        call(*args, **options)
        raise Died

    return call_and_die


def _dying(*args: Any, **options: Any) -> Any:
    raise Died


def _rescued(project: Project) -> int:
    """A worker looks for overdue runs, and gets the message that it has sent."""
    rescuer = Rescuer(project.runtime, project.runtime.store)

    def delivered() -> int:
        rescuer.look(time.monotonic())
        return project.deliver()

    return wait_for(delivered, 30, "the message to be sent by a worker", interval=0.1)

"""Runs that pause or end after so many items, on real workers that are stopped and killed."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import json
from collections.abc import Iterator
from signal import SIGKILL, SIGTERM
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.result import AsyncResult
from click.testing import CliRunner, Result

from celery_graceful import Graceful, IterableTask
from celery_graceful.cli import graceful
from celery_graceful.runs.api import Runs
from celery_graceful.runtime import runtime_of
from tests.acceptance.runs import STYLES, Run, Stage
from tests.harness import Ledger
from tests.harness.producer import producer

pytestmark = pytest.mark.slow

KEY = "backfill-2026-11"
#: More than a test has time for; ``hurry`` does the rest.
ITEMS, PAUSE = 10_000, 0.03
#: Where the worker is lost, and where the run pauses or ends.
LOST_AT, BOUND = 20, 300


@pytest.fixture
def operator(stage: Stage) -> Iterator[Celery]:
    """The application as an operator has it: with the tasks, and without a worker."""
    stage.settings.update(graceful_lease_ttl=3, graceful_checkpoint_interval=0.3)
    with producer(stage.broker, stage.backend, **stage.settings) as app:
        app.main = "items"
        Graceful(app)
        for name in STYLES:

            @app.task(base=IterableTask, name=name, shared=False)
            def task(path: str, items: int, pause: float, *, cursor: Any = None) -> Iterator[int]:
                yield from ()

        yield app
        runtime_of(app).store.close()


@pytest.fixture
def runs(operator: Celery) -> Runs:
    return Runs(lambda: operator)


def call(app: Celery, *words: str) -> Result:
    context = SimpleNamespace(app=app)
    return CliRunner().invoke(graceful, words, obj=context, catch_exceptions=False)


def sent(stage: Stage, app: Celery, style: str, *options: str) -> Run:
    """Start a run by the command, under the key."""
    ledger = Ledger(stage.folder / "ledger.jsonl")
    args = json.dumps([str(ledger.path), ITEMS, PAUSE])
    done = call(app, "start", style, "--args", args, "--once", KEY, *options, "--json")
    assert done.exit_code == 0, done.stderr
    run_id = json.loads(done.stdout)["run"]["id"]
    return Run(AsyncResult(run_id, app=app), ledger, ITEMS)


def lose_a_worker(stage: Stage, run: Run, signal: int) -> None:
    first, second = stage.worker("first"), stage.waiting()
    first.wait_ready()
    second.wait_ready()
    run.wait_items(LOST_AT)
    stage.let_in(second)
    first.signal(signal)  # a killed worker takes its children with it
    run.hurry()


@pytest.mark.parametrize("style", [STYLES[0], pytest.param(STYLES[1], marks=pytest.mark.matrix)])
def test_a_canary_whose_worker_is_stopped(
    stage: Stage, operator: Celery, runs: Runs, style: str
) -> None:
    run = sent(stage, operator, style, "--pause-after", str(BOUND))
    lose_a_worker(stage, run, SIGTERM)
    waited = call(operator, "wait", KEY, "--timeout", "60s", "--json")
    assert waited.exit_code == 7, waited.stderr
    shown = json.loads(waited.stdout)["run"]
    assert (shown["steps"], shown["cursor"]) == (BOUND, BOUND - 1)
    assert shown["carry"] == {"sum": sum(range(BOUND))}
    assert shown["seconds"] > 0
    assert "resume to continue" in shown["reason"]
    assert run.ledger.items() == list(range(BOUND))

    assert call(operator, "resume", KEY).exit_code == 0
    assert call(operator, "wait", KEY, "--timeout", "60s").exit_code == 0
    run.check_result()
    run.check_exact()


@pytest.mark.parametrize("style", [STYLES[1], pytest.param(STYLES[0], marks=pytest.mark.matrix)])
def test_a_limit_whose_worker_is_killed(
    stage: Stage, operator: Celery, runs: Runs, style: str
) -> None:
    run = sent(stage, operator, style, "--limit", str(BOUND))
    lose_a_worker(stage, run, SIGKILL)
    args = json.dumps([str(run.ledger.path), ITEMS, PAUSE])
    again = call(operator, "start", style, "--args", args, "--once", KEY, "--wait", "--json")
    assert again.exit_code == 0, again.stderr
    data = json.loads(again.stdout)
    assert (data["how"], data["run"]["id"], data["run"]["steps"]) == ("joined", run.id, BOUND)
    assert data["run"]["reason"] == f"ended after {BOUND} items, its limit"
    assert set(run.ledger.items()) == set(range(BOUND))
    assert run.repeated().total() < BOUND - LOST_AT
    expected = {"id": run.id, "sum": sum(range(BOUND))} if style == STYLES[1] else None
    assert run.result.get(timeout=30) == expected
    assert runs.start(style, json.loads(args), once=KEY).state == "completed"

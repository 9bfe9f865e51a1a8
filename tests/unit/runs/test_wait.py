"""Waiting for a run, with a clock of the test's own."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from celery_graceful import errors
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Outcome, RunKey
from celery_graceful.runs.oneoff.wait import LONGEST, SHORTEST, Look, watch
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime, runtime_of
from tests.unit.tasks.conftest import MakeApp, make_app

__all__ = ["make_app"]

RUN = RunKey("shop.items", "run")


class Waiting:
    """A wait whose time passes at once; ``then`` says what happens meanwhile, and when."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.now = 0.0
        self.pauses: list[float] = []
        self.then: dict[float, Callable[[], object]] = {}
        self.looks: list[Look] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        for at in [at for at in self.then if at <= self.now]:
            self.then.pop(at)()

    def wait(self, timeout: float | None = None) -> Look:
        watching = watch(self.runtime, "run", timeout, clock=lambda: self.now, sleep=self.sleep)
        for look in watching:
            self.looks.append(look)
        return self.looks[-1]


@pytest.fixture
def runtime(make_app: MakeApp) -> Runtime:
    app = make_app(graceful_store="memory://", graceful_namespace=uuid.uuid4().hex)
    runtime = runtime_of(app)
    transition(runtime.store, RUN, ev.Admit(0, "w/1", at=1.0), runtime.policy)
    return runtime


@pytest.fixture
def waiting(runtime: Runtime) -> Waiting:
    return Waiting(runtime)


def tell(runtime: Runtime, event: ev.Event) -> Callable[[], object]:
    return lambda: transition(runtime.store, RUN, event, runtime.policy)


def test_it_looks_less_and_less_often(waiting: Waiting, runtime: Runtime) -> None:
    waiting.then[3600] = tell(runtime, ev.Kill(Outcome.COMPLETED, "done"))
    assert waiting.wait().run.state == "completed"
    assert waiting.pauses[0] == SHORTEST
    assert max(waiting.pauses) == LONGEST
    assert len(waiting.pauses) < 1900


def test_the_timeout_is_kept_to_the_second(waiting: Waiting) -> None:
    with pytest.raises(errors.WaitTimedOut, match="is running after 1m "):
        waiting.wait(60)
    assert waiting.now == pytest.approx(60)


def test_while_the_store_is_away_it_waits_on(
    waiting: Waiting, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = runtime.store.load

    def away(run: RunKey) -> Any:
        raise errors.StoreUnavailable("the store is away")

    waiting.then[10] = lambda: monkeypatch.setattr(runtime.store, "load", away)
    waiting.then[500] = lambda: monkeypatch.setattr(runtime.store, "load", load)
    waiting.then[600] = tell(runtime, ev.Kill(Outcome.FAILED, "test"))
    assert waiting.wait().run.state == "failed"
    assert "the store is away" in {look.trouble for look in waiting.looks}


def test_a_run_that_vanishes_may_be_written_back(waiting: Waiting, runtime: Runtime) -> None:
    rows: Any = runtime.store
    kept = {}

    def vanish() -> None:
        kept.update(rows._rows)
        rows._rows.clear()

    waiting.then[10] = vanish
    waiting.then[20] = lambda: rows._rows.update(kept)
    waiting.then[30] = tell(runtime, ev.Kill(Outcome.CANCELLED, "test"))
    assert waiting.wait().run.state == "cancelled"


def test_a_run_that_has_vanished_is_no_longer_waited_for(
    waiting: Waiting, runtime: Runtime
) -> None:
    rows: Any = runtime.store
    waiting.then[10] = rows._rows.clear
    with pytest.raises(errors.RunVanished, match="no longer knows of"):
        waiting.wait()
    assert waiting.now < 10 + 2 * runtime.settings.lease_ttl

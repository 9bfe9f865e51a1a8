"""Listings among thousands of runs of which few fit: pages are bounded, and nothing is missed."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from celery_graceful import Graceful
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.runs.api import Runs
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.stores.tabs import Counts

LIVE, ENDED = 3000, 1500


@pytest.fixture
def app() -> Celery:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.update(graceful_store="memory://", graceful_namespace=uuid.uuid4().hex)
    return app


@pytest.fixture
def runtime(app: Celery) -> Runtime:
    runtime = runtime_of(app)
    for number in range(LIVE):
        rare = number % 1000 == 999
        state = State.PAUSED if rare else State.RUNNING
        record = Record(state, fence=1, owner=None if rare else "w1/a", started_at=1.0 + number)
        runtime.store.swap(RunKey("shop.run", f"live {number}"), 0, record)
    for number in range(ENDED):
        outcome = Outcome.FAILED if number % 500 == 0 else Outcome.COMPLETED
        record = Record(State.ENDED, fence=1, outcome=outcome, started_at=1.0)
        runtime.store.swap(RunKey("shop.run", f"ended {number}"), 0, record, keep=900.0 + number)
    return runtime


def pages(runs: Runs, limit: int, **filters: Any) -> Iterator[list[str]]:
    page = runs.list(limit=limit, **filters)
    while True:
        yield [run.id for run in page]
        if page.next is None:
            return
        page = runs.list(limit=limit, after=page.next, **filters)


def test_pages_with_a_filter_that_few_runs_fit(app: Celery, runtime: Runtime) -> None:
    """Of all runs: live ones, then ended ones."""
    found = list(pages(Graceful(app).runs, 10, text="00"))
    names = Counter(name for page in found for name in page)
    live, ended = (
        [f"{kind} {n}" for n in range(most) if "00" in str(n)]
        for kind, most in (("live", LIVE), ("ended", ENDED))
    )
    assert names == Counter([*live, *ended])
    found = list(pages(Graceful(app).runs, 10, text="live 2999"))
    assert [name for page in found for name in page] == ["live 2999"]
    assert len(found) > 2, "pages are bounded"


def test_tabs_come_in_their_order(app: Celery, runtime: Runtime) -> None:
    runs = Graceful(app).runs
    assert list(pages(runs, 2, state="paused")) == [["live 999", "live 1999"], ["live 2999"]]
    assert list(pages(runs, 2, state="failed")) == [["ended 1000", "ended 500"], ["ended 0"]]
    active = [name for page in pages(runs, 1000, state="active") for name in page]
    assert active == [f"live {number}" for number in range(LIVE) if number % 1000 != 999]
    ended = [name for page in pages(runs, 700, state="ended") for name in page]
    assert ended == [f"ended {number}" for number in reversed(range(ENDED))]


def test_a_place_of_another_listing_is_refused(app: Celery, runtime: Runtime) -> None:
    runs = Graceful(app).runs
    page = runs.list(state="paused", limit=1)
    for state in ("failed", None):
        with pytest.raises(ValueError, match="is not what the page before gave as `next`"):
            runs.list(state=state, after=page.next)


def test_runs_are_counted(app: Celery, runtime: Runtime) -> None:
    assert Graceful(app).runs.counts() == Counts(active=2997, paused=3, failed=3, ended=1500)

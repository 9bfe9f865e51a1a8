"""``graceful.runs``: looking at runs, page by page and by filters, and operating them."""

from __future__ import annotations

import json
import random
import re
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from celery import Celery

from celery_graceful import Graceful, errors
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import Outcome, Record, RunKey
from celery_graceful.runs.api import Runs
from celery_graceful.runs.observers import Observed, user_at_host
from celery_graceful.runs.plain_run import Run
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.views.runs import run_as_data

TASK = "shop.import"


@pytest.fixture
def app() -> Celery:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.update(graceful_store="memory://", graceful_namespace=uuid.uuid4().hex)
    return app


@pytest.fixture
def runtime(app: Celery) -> Runtime:
    return runtime_of(app)


@pytest.fixture
def runs(app: Celery) -> Runs:
    return Graceful(app).runs


def begin(
    runtime: Runtime, name: str, *, task: str = TASK, worker: str = "w1", at: float = 1.0
) -> Record:
    admit = ev.Admit(generation=0, owner=f"{worker}/start", at=at)
    done = transition(runtime.store, RunKey(task, name), admit, runtime.policy)
    assert done.record is not None
    return done.record


def apply(runtime: Runtime, name: str, event: ev.Event) -> None:
    transition(runtime.store, RunKey(TASK, name), event, runtime.policy)


def test_runs_are_found_by_every_filter(runtime: Runtime, runs: Runs) -> None:
    now = datetime.now(timezone.utc).timestamp()
    begin(runtime, "old", at=now - 7200)
    begin(runtime, "new", at=now - 60, worker="w2")
    begin(runtime, "gone", at=now - 30, task="shop.index")
    for name in ("paused", "done"):
        begin(runtime, name, at=now - 7300)
    record = runtime.store.load(RunKey(TASK, "paused")).record
    assert record is not None
    apply(runtime, "paused", ev.HandOver(record.fence, None, 0, "shutdown"))
    apply(runtime, "paused", ev.Pause())
    apply(runtime, "done", ev.End(1, Outcome.FAILED))

    def found(**filters: Any) -> set[str]:
        return {run.id for run in runs.list(**filters)}

    assert found() == {"old", "new", "gone", "paused", "done"}
    assert found(state="running") == found(state="active") == {"old", "new", "gone"}
    assert found(state="paused") == {"paused"}
    assert found(state="ended") == found(state="failed") == {"done"}
    assert found(state="completed") == set()
    assert found(task="shop.index") == {"gone"}
    assert found(worker="w2") == found(worker="w2/start") == {"new"}
    assert found(text="SHOP.INDEX") == {"gone"}
    assert found(text="ne") == {"new", "done", "gone"}
    assert found(since="1h") == found(since=timedelta(hours=1)) == {"new", "gone"}
    assert found(since=datetime.now(timezone.utc) - timedelta(seconds=45)) == {"gone"}
    assert found(state="running", worker="w1", since="1h", text="gone") == {"gone"}
    assert found(queue="celery") == set(), "these have no message"


@pytest.mark.parametrize(
    ("argument", "value", "words"),
    [
        ("state", "sleeping", "state: 'sleeping' is none of active, queued, running"),
        ("since", "yesterday", "'yesterday' is not a duration"),
        ("after", "page 2", "after: 'page 2' is not what the page before gave as `next`"),
        ("limit", 0, "limit: 0 is less than 1"),
    ],
)
def test_an_argument_that_cannot_be_read(
    runs: Runs, argument: str, value: object, words: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        runs.list(**{argument: value})  # type: ignore[arg-type]


def pages(runs: Runs, limit: int, **filters: Any) -> Iterator[list[str]]:
    page = runs.list(limit=limit, **filters)
    while True:
        yield [run.id for run in page]
        if page.next is None:
            return
        page = runs.list(limit=limit, after=page.next, **filters)


@pytest.mark.parametrize("seed", range(20))
def test_no_run_is_on_two_pages_and_none_is_missed(runtime: Runtime, runs: Runs, seed: int) -> None:
    chance = random.Random(seed)
    names = [f"run {number:02}" for number in range(17)]
    for number, name in enumerate(names):
        begin(runtime, name, at=float(number % 5))
    for name in chance.sample(names, 5):
        apply(runtime, name, ev.End(1, Outcome.COMPLETED))
    seen: list[str] = []
    for page in pages(runs, chance.choice([1, 3, 5])):
        seen += page
        for name in chance.sample(names, 4):
            events: list[ev.Event] = [ev.Pause(), ev.Cancel(), ev.End(1, Outcome.COMPLETED)]
            apply(runtime, name, chance.choice(events))
            runtime.store.renew("w1/start", [RunKey(TASK, name)], due_in=chance.choice([1, 90]))
        begin(runtime, f"later {len(seen)}", at=99.0)
    assert sorted(name for name in seen if name in names) == names
    assert len(seen) == len(set(seen))


def test_the_last_page_says_so(runtime: Runtime, runs: Runs) -> None:
    assert runs.list().next is None
    for name in ("a", "b"):
        begin(runtime, name)
    assert [len(page) for page in pages(runs, 1)] == [1, 1]
    assert runs.list(limit=2).next is None


def test_a_run_tells_what_is_known(runtime: Runtime, runs: Runs) -> None:
    record = begin(runtime, "8f6f2c52")
    saved = encode(Checkpoint((7, b"\x00"), {"rows": 1}, 42, 100, errors=2))
    key = RunKey(TASK, "8f6f2c52")
    assert runtime.store.checkpoint(key, record.fence, saved, 42, due_in=9).accepted
    run = runs.get("8f6f")
    assert (run.task, run.id, str(run)) == (TASK, "8f6f2c52", f"{TASK}[8f6f2c52]")
    assert (run.state, run.ended, run.steps, run.total) == ("running", False, 42, 100)
    assert (run.cursor, run.carry, run.quarantined) == ((7, b"\x00"), {"rows": 1}, 2)
    assert (run.worker, run.queue, run.started_at) == ("w1/start", None, 1.0)
    data = json.loads(json.dumps(run_as_data(run)))
    assert (data["cursor"], data["carry"]) == ([7, "AA=="], {"rows": 1})


def test_a_checkpoint_that_cannot_be_read_is_named(runtime: Runtime, runs: Runs) -> None:
    record = begin(runtime, "a")
    assert runtime.store.checkpoint(RunKey(TASK, "a"), record.fence, "{", 1, due_in=9).accepted
    run = runs.get("a")
    assert (run.cursor, run.carry) == (None, None)
    assert "cannot be read" in (run.unreadable or "")


def test_changes_and_who_made_them(runtime: Runtime, runs: Runs) -> None:
    seen: list[Observed] = []
    runtime.observers.append(seen.append)
    record = begin(runtime, "a")
    change = runs.pause("a")
    assert (change.verdict, change.before.requested, change.run.requested) == (
        "asked",
        None,
        "pause",
    )
    assert runs.resume("a", who="alice").run.requested is None
    apply(runtime, "a", ev.HandOver(record.fence, None, 0, "shutdown"))
    ended = runs.cancel("a")
    assert ended.run.state == "cancelled"
    assert ended.run.ended_at == runs.get("a").ended_at
    assert ended.trouble, "it has no message to tell the result backend by"
    assert [(type(c.event), c.who) for c in seen] == [
        (ev.Pause, user_at_host()),
        (ev.Resume, "alice"),
        (ev.Cancel, user_at_host()),
    ]
    with pytest.raises(errors.RunRefused, match="It was cancelled"):
        runs.pause("a")


def test_names_that_name_no_run_or_several(runtime: Runtime, runs: Runs) -> None:
    for name in ("ab", "ac"):
        begin(runtime, name)
    with pytest.raises(errors.UnknownRun, match="no run 'x' is known"):
        runs.get("x")
    with pytest.raises(errors.AmbiguousRun, match=r"'a' fits 2 runs; write more of the id"):
        runs.get("a")
    with pytest.raises(errors.RunRefused, match="has no quarantined items"):
        runs.replay("ab")


@pytest.mark.parametrize("name", ["a[b", "a]b", "[", "a[b]", "[a][b]", "a\n[b]"])
def test_brackets_in_names_and_ids(runtime: Runtime, runs: Runs, name: str) -> None:
    begin(runtime, name)
    run = runs.get(name)
    assert run.id == name
    assert runs.get(str(run)).id == name


def test_without_an_app() -> None:
    with pytest.raises(RuntimeError, match="call init_app"):
        Graceful().runs.list()


def test_a_run_cannot_be_changed(runtime: Runtime, runs: Runs) -> None:
    begin(runtime, "a")
    run: Run = runs.get("a")
    with pytest.raises(AttributeError):
        run.state = "paused"  # type: ignore[misc]

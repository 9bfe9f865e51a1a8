"""Messages that were sent compressed: kombu has opened what a run keeps."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from celery.result import AsyncResult

from celery_graceful._celery.message.envelope import capture, pack
from celery_graceful.model.run.record import State
from celery_graceful.model.run.verbs import Verb
from celery_graceful.runs import quarantined_items
from celery_graceful.runs.api import Runs
from celery_graceful.runs.lookup import Found
from celery_graceful.runs.operating.changes import Asked
from celery_graceful.runs.operating.replays import replay
from celery_graceful.runtime import Runtime, runtime_of

from .conftest import TASK, MakeApp, as_seen_by_a_child, take
from .test_rescue import overdue

ARGS = (1, "ü" * 3000)


@pytest.fixture(params=[None, "gzip", "bzip2"])
def app(request: pytest.FixtureRequest, make_app: MakeApp, redis_url: str) -> Any:
    return make_app(redis_url, task_compression=request.param, result_backend="cache+memory://")


@pytest.fixture
def runtime(app: Any) -> Runtime:
    return runtime_of(app)


def sent(app: Any, name: str) -> bytes:
    """The message of a call, as a run keeps it."""
    app.tasks[TASK].apply_async(ARGS, {"cursor": 5}, task_id=name)
    message = take(app)
    assert (message.headers.get("compression") is None) == (app.conf.task_compression is None)
    captured = capture(as_seen_by_a_child(app, message), runtime_of(app).broker)
    assert captured is not None
    return pack(captured)


def test_whoever_waits_for_a_cancelled_run_hears_of_it(app: Any, runtime: Runtime) -> None:
    name = str(uuid4())
    packed = sent(app, name)
    overdue(runtime, name, packed, state=State.INTERRUPTED, owner=None, generation=1)
    assert not Runs(lambda: app).cancel(name).trouble
    assert str(AsyncResult(name, app=app).state) == "REVOKED"


def test_a_quarantined_item_is_sent_again(app: Any, runtime: Runtime) -> None:
    run = overdue(runtime, "replayed", sent(app, "replayed"))
    record = runtime.store.load(run).record
    assert record is not None
    for ordinal, entry in {
        quarantined_items.ENVELOPE: quarantined_items.envelope_entry(record.envelope),
        7: "{}",
    }.items():
        assert runtime.store.quarantine(run, record.fence, ordinal, entry, keep=60)
    at = runtime.store.load(run)
    assert at.record is not None
    done = replay(runtime, Found(run, at.record, at.now), Asked(Verb.REPLAY, "ann"))
    assert done.items == 1
    message = take(app)
    args, kwargs, _ = message.payload
    assert (tuple(args), kwargs) == (ARGS, {})
    assert (message.headers.get("compression") is None) == (app.conf.task_compression is None)

"""Overdue runs: sent on their way once, to the right queue, by whoever can."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from celery_graceful._celery.message.envelope import capture, pack, unpack
from celery_graceful._celery.message.headers import CHECKPOINT as CHECKPOINT_HEADER
from celery_graceful._celery.message.headers import GENERATION
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import Record, Request, RunKey, State
from celery_graceful.runs.lost.left_messages import save_left
from celery_graceful.runs.lost.rescue import BATCH, UNSETTLED, Rescuer
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.testing.store_contract.samples import read
from tests.harness.waiting import wait_for
from tests.integration.stores.written import NEWER, Elsewhere
from tests.servers.process import free_port

from .conftest import TASK, MakeApp, as_seen_by_a_child, declare, envelope_of, take

CHECKPOINT = encode(Checkpoint(5, {"sum": 1}, 5))


@pytest.fixture(params=["memory", "redis"])
def app(request: pytest.FixtureRequest, make_app: MakeApp, redis_url: str) -> Any:
    """A project on a Redis broker, on each kind of store in turn."""
    store = "" if request.param == "memory" else redis_url
    return make_app(redis_url, store, graceful_lease_ttl=5, accept_content=["json", "pickle"])


@pytest.fixture
def runtime(app: Any) -> Runtime:
    return runtime_of(app)


@pytest.fixture
def rescuer(runtime: Runtime) -> Rescuer:
    return Rescuer(runtime, runtime.store)


def overdue(runtime: Runtime, name: str, envelope: bytes, **fields: Any) -> RunKey:
    """A run whose runner is gone, and whose lease has ended."""
    run = RunKey(TASK, name)
    record = Record(
        **{
            "state": State.RUNNING,
            "fence": 1,
            "owner": "dead/1",
            "checkpoint": CHECKPOINT,
            "steps": 5,
            "envelope": envelope,
            **fields,
        }
    )
    assert runtime.store.swap(run, 0, record, due_in=0.0).done
    wait_for(lambda: run in dict(runtime.store.due(10_000)), 5, f"{run} to be due")
    return run


def envelope(app: Any, broker: str | None = None, **options: Any) -> tuple[Any, bytes]:
    """A message of a real call, and what a run keeps of it."""
    app.tasks[TASK].apply_async((1, "ü"), **options)
    message = take(app)
    captured = capture(as_seen_by_a_child(app, message), broker or runtime_of(app).broker)
    assert captured is not None
    return message, pack(captured)


#: More than a lease from one look to the next, as the rescuer sees it.
PATIENCE = 6.0


def looks(rescuer: Rescuer, times: int = 2) -> None:
    for _ in range(times):
        rescuer.look(next(CLOCK))


CLOCK = count(time.monotonic(), PATIENCE)


def drained(app: Any) -> Iterator[Any]:
    while (message := take(app)) is not None:
        yield message


INTERRUPTED = {"owner": None, "state": State.INTERRUPTED}


@pytest.mark.parametrize(
    ("fields", "level", "told"),
    [
        pytest.param(
            INTERRUPTED,
            logging.INFO,
            "(not_admitted): sent again after 5 items; its message was not admitted by any worker",
            id="no worker for a while",
        ),
        pytest.param(
            {"steps": 1},
            logging.WARNING,
            "(lease_lost): sent again after 1 item; owned last by dead/1; 1 crash without progress,"
            " the last one: its lease expired",
            id="lost",
        ),
        pytest.param(
            {**INTERRUPTED, "crashes": 2, "crash_steps": 5, "last_crash": "signal 9"},
            logging.WARNING,
            "not admitted by any worker; 2 crashes without progress, the last one: signal 9",
            id="crashed before",
        ),
        pytest.param(
            {**INTERRUPTED, "crashes": 1, "crash_steps": 2, "last_crash": "signal 9"},
            logging.INFO,
            "not admitted by any worker",
            id="crashed long ago",
        ),
    ],
)
def test_the_log_says_how_a_rescued_run_stood(
    app: Any,
    runtime: Runtime,
    rescuer: Rescuer,
    caplog: pytest.LogCaptureFixture,
    fields: dict[str, Any],
    level: int,
    told: str,
) -> None:
    caplog.set_level(logging.INFO)
    overdue(runtime, "one", envelope(app)[1], **fields)
    looks(rescuer)
    (line,) = [line for line in caplog.records if "Rescued" in line.getMessage()]
    assert line.levelno == level
    assert line.getMessage().endswith(told)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"serializer": "pickle", "compression": "zlib"},
        {"priority": 6, "headers": {"tenant": "a"}},
    ],
    ids=repr,
)
def test_published_again_with_a_higher_generation(
    app: Any, runtime: Runtime, rescuer: Rescuer, options: dict[str, Any]
) -> None:
    first, packed = envelope(app, **options)
    run = overdue(runtime, "id-1", packed)
    looks(rescuer)
    (second,) = drained(app)
    assert second.body == first.body
    assert second.headers["id"] == first.headers["id"]
    assert second.headers[GENERATION] == 1
    assert second.headers[CHECKPOINT_HEADER] == CHECKPOINT
    assert second.properties["priority"] == first.properties["priority"]
    record = runtime.store.load(run).record
    assert record is not None
    assert (record.state, record.generation, record.owner) == (State.INTERRUPTED, 1, None)
    assert record.crashes == 1
    looks(rescuer, 3)
    assert list(drained(app)) == [], "not again before a lease has passed"


def test_the_rescued_message_can_be_rescued_in_turn(
    app: Any, runtime: Runtime, rescuer: Rescuer
) -> None:
    first, packed = envelope(app)
    overdue(runtime, "id-1", packed)
    looks(rescuer)
    (second,) = drained(app)
    again = pack(envelope_of(app, second))
    overdue(runtime, "id-2", again, generation=1, fence=2)
    looks(rescuer)
    (third,) = drained(app)
    assert third.body == first.body
    assert third.headers[GENERATION] == 2


def test_only_what_stood_still(app: Any, runtime: Runtime, rescuer: Rescuer) -> None:
    run = overdue(runtime, "id-1", envelope(app)[1])
    looks(rescuer, 1)
    runtime.store.renew("dead/1", [run], due_in=0.0)
    looks(rescuer, 1)
    assert list(drained(app)) == []
    looks(rescuer, 1)
    assert len(list(drained(app))) == 1


def test_two_rescuers_send_one_message(app: Any, runtime: Runtime) -> None:
    overdue(runtime, "id-1", envelope(app)[1])
    pair = [Rescuer(runtime, runtime.store) for _ in range(2)]
    for _ in range(3):
        for one in pair:
            looks(one, 1)
    assert len(list(drained(app))) == 1


def test_an_outage_gives_runners_a_lease_to_come_back(
    app: Any, runtime: Runtime, rescuer: Rescuer
) -> None:
    overdue(runtime, "id-1", envelope(app)[1])
    rescuer.store_was_away()
    for second in range(5):
        rescuer.look(1000.0 + second)
    assert list(drained(app)) == []
    for second in (6, 7):
        rescuer.look(1000.0 + second)
    assert len(list(drained(app))) == 1


def test_a_store_that_answers_late_was_away_for_runners_as_well(
    app: Any, runtime: Runtime, rescuer: Rescuer
) -> None:
    lease = runtime.settings.lease_ttl
    overdue(runtime, "id-1", envelope(app)[1])
    rescuer.look(1000.0)
    times = iter([0.0, lease / 2])  # when the store is asked, and when it answers
    rescuer.clock = lambda: next(times, 0.0)
    rescuer.look(1000.0 + lease + 1)
    ready = 1000.0 + lease + 1 + lease / 2 + lease
    for moment in (ready - 1, ready - 0.5):
        rescuer.look(moment)
    assert list(drained(app)) == []
    rescuer.look(ready + 0.1)
    assert len(list(drained(app))) == 1


def test_a_worker_that_has_just_begun_leaves_runners_a_lease(
    app: Any, runtime: Runtime, rescuer: Rescuer
) -> None:
    """The store may just be back: runners that it was away for beat again within a lease."""
    packed = envelope(app)[1]
    overdue(runtime, "had-a-runner", packed)
    overdue(runtime, "waits", packed, state=State.INTERRUPTED, owner=None, generation=1)
    for second in range(5):
        rescuer.look(1000.0 + second)
    assert [message.headers["id"] for message in drained(app)], "what nobody carries goes at once"
    record = runtime.store.load(RunKey(TASK, "had-a-runner")).record
    assert record is not None
    assert record.state is State.RUNNING
    for second in (5, 6):
        rescuer.look(1000.0 + second)
    assert len(list(drained(app))) == 1


def test_requests_of_operators_are_met(app: Any, runtime: Runtime, rescuer: Rescuer) -> None:
    packed = envelope(app)[1]
    cancelled = overdue(runtime, "id-1", packed, requested=Request.CANCEL)
    paused = overdue(runtime, "id-2", packed, requested=Request.PAUSE)
    looks(rescuer)
    assert list(drained(app)) == []
    states = [
        record.state for run in (cancelled, paused) if (record := runtime.store.load(run).record)
    ]
    assert states == [State.ENDED, State.PAUSED]


def test_foreign_runs_are_left_alone(app: Any, runtime: Runtime, rescuer: Rescuer) -> None:
    packed = envelope(app, broker="amqp://elsewhere:5672/x")[1]
    run = overdue(runtime, "id-1", packed)
    before = runtime.store.load(run).record
    looks(rescuer, 4)
    assert runtime.store.load(run).record == before
    assert list(drained(app)) == []


def test_foreign_runs_do_not_hide_ours(app: Any, runtime: Runtime, rescuer: Rescuer) -> None:
    """Two projects share a store, and all workers of the other one are gone."""
    foreign = envelope(app, broker="amqp://elsewhere:5672/x")[1]
    for n in range(BATCH + 10):
        overdue(runtime, f"foreign-{n:03}", foreign)
    overdue(runtime, "ours", envelope(app)[1])
    looks(rescuer, 6)
    assert len(list(drained(app))) == 1


CORRUPT = {
    "empty": b"",
    "words": b"not an envelope",
    "wrong types": b'{"content_type":1,"content_encoding":1,"headers":5,"properties":[],'
    b'"exchange":1,"routing_key":null,"broker":%BROKER%}\nx',
}


@pytest.mark.parametrize("data", CORRUPT.values(), ids=CORRUPT.keys())
def test_a_corrupt_envelope_stops_nobody_else(
    app: Any, runtime: Runtime, rescuer: Rescuer, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    packed = envelope(app)[1]
    broker = b'"' + runtime.broker.encode() + b'"'
    overdue(runtime, "bad", data.replace(b"%BROKER%", broker))
    overdue(runtime, "good", packed)
    with caplog.at_level(logging.ERROR):
        looks(rescuer)
    assert len(list(drained(app))) == 1
    assert f"{TASK}[bad]" in caplog.text


def test_while_the_broker_is_away_runs_stay_as_they_are(
    make_app: MakeApp, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    here = make_app(redis_url)
    url = f"redis://127.0.0.1:{free_port()}/0"
    runtime = runtime_of(make_app(url, graceful_release_timeout=0.3, graceful_lease_ttl=5))
    message, _ = envelope(here)
    captured = capture(as_seen_by_a_child(here, message), runtime.broker)
    assert captured is not None
    run = overdue(runtime, "id-1", pack(captured))
    before = runtime.store.load(run).record
    with caplog.at_level(logging.ERROR):
        looks(Rescuer(runtime, runtime.store), 4)
    assert runtime.store.load(run).record == before, "else it would wait longer each time"
    assert caplog.text.count(f"1 overdue run waits for it ({run} first)") == 1


NOWHERE: dict[str, dict[str, Any]] = {
    "an exchange that is gone": {"exchange": "nowhere"},
    "a key that leads nowhere": {"exchange": "media", "routing_key": "no"},
}


@pytest.mark.parametrize("way", NOWHERE.values(), ids=NOWHERE.keys())
@pytest.mark.parametrize("kind", ["redis", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def test_a_run_without_a_queue_is_unroutable(
    request: pytest.FixtureRequest,
    make_app: MakeApp,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    way: dict[str, Any],
) -> None:
    app = make_app(request.getfixturevalue(f"{kind}_url"), graceful_lease_ttl=1)
    declare(app, "imports", "media", "direct", "import")
    runtime = runtime_of(app)
    captured = replace(unpack(envelope(app)[1]), **way)
    run = overdue(runtime, "id-1", pack(captured))
    rescuer = Rescuer(runtime, runtime.store)
    for round_ in (1, 2):
        with caplog.at_level(logging.ERROR):
            looks(rescuer, 2 if round_ == 1 else 1)  # it is due again soon
        assert caplog.text.count(f"{run} could not be published again") == round_
        record = runtime.store.load(run).record
        assert record is not None
        assert (record.state, record.republished) == (State.INTERRUPTED, 0)
        assert "no queue takes" in record.unroutable or "NOT_FOUND" in record.unroutable
        wait_for(lambda: run in dict(runtime.store.due(10)), 5, "that it is due a lease later")
    declare(app, "back", "nowhere", "direct", captured.routing_key)
    declare(app, "back", "media", "direct", captured.routing_key)
    looks(rescuer)
    assert take(app, "back") is not None


def test_a_record_of_a_later_version_is_left_to_its_workers(
    app: Any, runtime: Runtime, rescuer: Rescuer, caplog: pytest.LogCaptureFixture
) -> None:
    if not runtime.store.shared_between_processes:
        pytest.skip("records in memory have no versions")
    elsewhere = Elsewhere(runtime.store_url, runtime.namespace)
    elsewhere.write(RunKey(TASK, "later"), NEWER)
    overdue(runtime, "ours", envelope(app)[1])
    looks(rescuer, 4)
    assert [message.headers["id"] for message in drained(app)]
    assert elsewhere.summary(RunKey(TASK, "later")) == NEWER
    assert caplog.text.count("is of a later version and is skipped") == 1


def test_parked_messages_go_back_before_a_run_with_an_owner_is_rescued(
    app: Any, runtime: Runtime
) -> None:
    """They may have a newer checkpoint than the store; but nobody waits for them for ever."""
    _, packed = envelope(app)
    overdue(runtime, "id-1", packed)
    free = overdue(runtime, "id-2", packed, **INTERRUPTED)
    rescuer = Rescuer(runtime, runtime.store, settled=lambda: False)
    looks(rescuer)
    assert len([*drained(app)]) == 1
    assert read(runtime.store, free).state is State.INTERRUPTED  # sent again
    looks(rescuer, UNSETTLED)
    assert len([*drained(app)]) == 1


def test_what_goes_back_saves_the_checkpoint_that_it_has(app: Any, runtime: Runtime) -> None:
    message, packed = envelope(app)
    run = overdue(runtime, str(message.headers["id"]), packed)
    sent = unpack(packed)
    text = encode(Checkpoint(cursor=41, steps=42))
    for fence, steps in ((7, 5), (1, 42)):
        left = sent.continued(1, text).left_by(fence)
        save_left(runtime, runtime.store, left)
        assert read(runtime.store, run).steps == steps
    assert run not in dict(runtime.store.due(10_000)), "its lease begins anew"
    save_left(runtime, runtime.store, sent)  # of one that told the store
    assert read(runtime.store, run).steps == 42

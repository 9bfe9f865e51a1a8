"""Parked messages: which of them go back, also when one of them or a server is in trouble."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from kombu import Connection, Producer, Queue
from kombu.exceptions import OperationalError

from celery_graceful._celery.message.envelope import envelope_of
from celery_graceful._celery.message.parking_queue import PARKED, Lot
from celery_graceful.errors import CorruptRecord, PublishUncertain, StoreError, StoreUnavailable
from celery_graceful.maintenance.mode_changes import NOTICE
from celery_graceful.model.maintenance.mode import Hold, Kind, Mode, Scope
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.stores.base import NOTICES
from celery_graceful.worker.parking import unparking
from celery_graceful.worker.parking.task_parking import CLAIM, TaskParking
from celery_graceful.worker.parking.unparking import Unparker
from tests.harness import wait_for

HELD = "shop.mail"


@pytest.fixture
def app() -> Iterator[Celery]:
    # The queues of kombu's memory transport are the process's own.
    with Celery(f"shop-{uuid4().hex}", broker="memory://", set_as_current=False) as app:
        app.conf.update(graceful_store=f"memory://{uuid4()}", graceful_namespace=app.main)
        yield app


@pytest.fixture
def runtime(app: Celery) -> Runtime:
    return runtime_of(app)


@pytest.fixture
def lot(runtime: Runtime) -> Iterator[Lot]:
    lot = Lot(runtime.app, f"{runtime.namespace}.graceful.parked", runtime.broker, timeout=5)
    yield lot
    lot.close()


class Messages:
    """What waits in the queues of the broker."""

    def __init__(self, app: Celery, parked: str) -> None:
        self.home = f"home-{uuid4().hex}"
        self.parked = parked
        self._app = app

    def park(self, body: Any, **options: Any) -> None:
        """Write a message into the parking queue, as if it had come from ``home``."""
        headers = {PARKED: ["", self.home], **options.pop("headers", {})}
        with self._channel() as channel:
            for name in (self.parked, self.home):
                Queue(name, routing_key=name, channel=channel).queue_declare()
            options.setdefault("serializer", "json")
            Producer(channel).publish(body, routing_key=self.parked, headers=headers, **options)

    def protocol_1(self, task: str, task_id: str = "1") -> None:
        """Park a message as clients in other languages write it."""
        self.park({"task": task, "id": task_id, "args": [], "kwargs": {}})

    def protocol_2(self, task: str, task_id: str = "1") -> None:
        """Park a message as Celery writes it."""
        self.park([[], {}, {}], headers={"task": task, "id": task_id})

    def at_home(self) -> list[Any]:
        """Take what has gone back; headers and body of each."""
        return self._taken(self.home)

    def left(self) -> int:
        """How many are still parked."""
        with self._channel() as channel:
            found: Any = Queue(self.parked, channel=channel).queue_declare(passive=True)
            return int(found.message_count)

    def _taken(self, name: str) -> list[Any]:
        found = []
        with self._channel() as channel:
            queue = Queue(name, channel=channel)
            while (message := queue.get(no_ack=True)) is not None:
                found.append((message.headers, message.body))
        return found

    def _channel(self) -> Any:
        connection: Any = Connection("memory://")
        return connection.channel()


@pytest.fixture
def messages(app: Celery, lot: Lot) -> Messages:
    return Messages(app, lot.name)


def is_held(task: str) -> bool:
    return task == HELD


# -- which go back ---------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["protocol_1", "protocol_2"])
def test_what_is_still_held_stays(lot: Lot, messages: Messages, protocol: str) -> None:
    park: Callable[..., None] = getattr(messages, protocol)
    for task in (HELD, "shop.import", HELD):
        park(task)
    assert lot.empty(is_held) == (1, 2)
    assert len(messages.at_home()) == 1
    assert messages.left() == 2
    assert lot.empty(lambda task: False) == (2, 0)
    assert len(messages.at_home()) == 2


def test_a_message_of_protocol_1_goes_back_as_it_was(lot: Lot, messages: Messages) -> None:
    messages.protocol_1(HELD, "seven")
    lot.empty(is_held)
    lot.empty(lambda task: False)
    [(headers, body)] = messages.at_home()
    assert headers == {}
    assert json.loads(body) == {"task": HELD, "id": "seven", "args": [], "kwargs": {}}


@pytest.mark.parametrize(
    ("body", "options"),
    [
        (b"\xff{", {"content_type": "application/json", "content_encoding": "utf-8"}),
        (b"[" * 100_000, {"content_type": "application/json", "content_encoding": "utf-8"}),
        (b"cos\nsystem\n(S'true'\ntR.", {"content_type": "application/x-python-serialize"}),
        ([1, 2], {}),
        ({"task": ["shop.mail"], "id": 7}, {}),
        (b"", {"content_type": "application/json", "content_encoding": "utf-8"}),
    ],
    ids=["no UTF-8", "deep", "pickle", "a list", "names of other types", "nothing"],
)
def test_a_message_that_names_no_task_is_in_nobodys_way(
    lot: Lot, messages: Messages, body: Any, options: dict[str, Any]
) -> None:
    asked: list[str] = []

    def held(task: str) -> bool:
        asked.append(task)
        return is_held(task)

    options = {"serializer": None, **options} if isinstance(body, bytes) else options
    messages.park(body, **options)
    messages.protocol_1("shop.import")
    messages.protocol_2(HELD)
    assert lot.empty(held) == (2, 1)
    assert asked == ["", "shop.import", HELD]


@pytest.mark.parametrize(
    "where", [None, "home", ["home"], ["", 7], ["", "x" * 256], {"": "", "home": ""}]
)
def test_a_message_that_says_no_queue_is_in_nobodys_way(
    lot: Lot, messages: Messages, where: Any, caplog: pytest.LogCaptureFixture
) -> None:
    messages.park([[], {}, {}], headers={"task": "shop.import", "id": "1", PARKED: where})
    messages.protocol_2("shop.import")
    assert lot.empty(is_held) == (1, 1)
    assert "says no queue" in caplog.text


def made(task_id: str, body: Any = "[[],{},{}]", **headers: Any) -> Any:
    """A message as kombu hands it out."""
    return SimpleNamespace(
        body=body,
        headers={"task": HELD, "id": task_id, **headers},
        properties={},
        delivery_info={"exchange": "", "routing_key": "home"},
        content_type="application/json",
        content_encoding="utf-8",
    )


#: A body that is no text and no bytes.
UNREADABLE = made("0", {"a": 1})


def test_a_message_that_cannot_be_read_is_in_nobodys_way(
    lot: Lot,
    messages: Messages,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for number in range(3):
        messages.protocol_2("shop.import", str(number))

    def read(message: Any, *args: Any) -> Any:
        return envelope_of(UNREADABLE if message.headers["id"] == "0" else message, *args)

    monkeypatch.setattr("celery_graceful._celery.message.parking_queue.envelope_of", read)
    assert lot.empty(is_held) == (2, 1)
    assert [headers["id"] for headers, _ in messages.at_home()] == ["1", "2"]
    assert messages.left() == 1
    assert "cannot be read" in caplog.text


def request(*args: Any, **headers: Any) -> Any:
    """What the lot looks at in a request."""
    return SimpleNamespace(message=made(*args, **headers))


def test_a_request_that_cannot_be_read_keeps_no_other_from_being_parked(
    lot: Lot, messages: Messages, caplog: pytest.LogCaptureFixture
) -> None:
    first, bad, last = request("1"), request("2", {"a": 1}), request("3")
    assert lot.put([first, bad, last]) == [first, last]
    assert messages.left() == 2
    assert "cannot be read" in caplog.text


def test_a_run_whose_own_queue_is_gone_keeps_no_other_from_going_home(
    lot: Lot, messages: Messages, caplog: pytest.LogCaptureFixture
) -> None:
    messages.protocol_2(HELD)  # which declares ``home``
    gone = request("1", graceful_home=["no-exchange", "gone", None])
    there = request("2", graceful_home=["", messages.home, None])
    assert lot.send_home([gone, there]) == [there]
    assert [headers["id"] for headers, _ in messages.at_home()] == ["2"]
    assert "no queue takes the message" in caplog.text


# -- the thread that sends them back ---------------------------------------------------------


HOLDING = Mode(holds=(Hold(Scope(Kind.TASK, HELD), "why", "who", 0.0),), version=1, parked=True)
RELEASED = Mode(version=2, parked=True)


@pytest.fixture
def worker(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskParking]:
    monkeypatch.setattr(unparking, "RETRY", 0.01)
    found = TaskParking(runtime, "w1@host/1", lambda task: False)
    yield found
    wait_for(lambda: not found.unparker.busy.locked(), 20, "the end of the thread")
    found.close()


def release(worker: TaskParking) -> None:
    worker.mode_changed(HOLDING)
    worker.mode_changed(RELEASED)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), StoreError("refused")])
def test_a_store_in_trouble_is_asked_again(
    worker: TaskParking, messages: Messages, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    messages.protocol_2(HELD)
    failures = [error] * 3
    true = worker.unparker._claim

    def claim(store: Any) -> bool:
        if failures:
            raise failures.pop()
        return true(store)

    monkeypatch.setattr(worker.unparker, "_claim", claim)
    release(worker)
    wait_for(lambda: len(messages.at_home()) == 1, 20, "the message at home")


@pytest.mark.parametrize("error", [OperationalError("gone"), PublishUncertain("unconfirmed")])
def test_a_broker_in_trouble_is_asked_again(
    worker: TaskParking, messages: Messages, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    messages.protocol_2(HELD)
    failures = [error] * 3
    true = worker._queue.empty

    def empty(*args: Any) -> tuple[int, int]:
        if failures:
            raise failures.pop()
        return true(*args)

    monkeypatch.setattr(worker._queue, "empty", empty)
    release(worker)
    wait_for(lambda: len(messages.at_home()) == 1, 20, "the message at home")


def test_it_is_at_work_until_all_have_gone_back(
    worker: TaskParking, messages: Messages, runtime: Runtime
) -> None:
    """A claim of a worker that was killed is over with the leases of that worker's runs."""
    messages.protocol_2(HELD)
    dead = Unparker(runtime, "dead/1", worker._queue, is_held, claim=CLAIM)
    assert dead._claim_seconds == runtime.settings.lease_ttl
    dead._claim_seconds = 1.0
    assert dead._claim(runtime.store)
    assert not worker.unparker.at_work
    release(worker)
    assert worker.unparker.at_work
    assert messages.left() == 1
    wait_for(lambda: not worker.unparker.at_work, 20, "the end of the claim and of the thread")
    assert len(messages.at_home()) == 1


@pytest.mark.parametrize(
    "trouble", [CorruptRecord("damaged"), StoreError("refused"), OverflowError(10**30)]
)
def test_a_checkpoint_that_cannot_be_saved_keeps_no_message_from_going_back(
    worker: TaskParking,
    messages: Messages,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    trouble: Exception,
) -> None:
    for _ in range(3):
        messages.protocol_2(HELD)

    def before(store: Any, message: Any) -> None:
        raise trouble

    monkeypatch.setattr(worker.unparker, "_before", before)
    release(worker)
    wait_for(lambda: not worker.unparker.at_work, 20, "the end of the thread")
    assert len(messages.at_home()) == 3
    assert caplog.text.count("goes back as it is") == 3


def test_messages_wait_for_a_store_that_is_away_again(
    worker: TaskParking, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a rescuer might be quicker than what only a message knows."""
    messages.protocol_2(HELD)
    failures: list[Exception] = [StoreUnavailable("away")] * 3

    def before(store: Any, message: Any) -> None:
        if failures:
            assert not messages.at_home()
            raise failures.pop()

    monkeypatch.setattr(worker.unparker, "_before", before)
    release(worker)
    wait_for(lambda: len(messages.at_home()) == 1, 20, "the message at home")
    assert not failures


def test_a_claim_is_renewed_while_many_go_back(
    worker: TaskParking, messages: Messages, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        messages.protocol_2(HELD)
    seen: list[float] = []

    def before(store: Any, message: Any) -> None:
        seen.append(unparking.read_claim(store.read_text(NOTICES, CLAIM), CLAIM)[1])
        worker.unparker._claimed_at -= 60  # as if that had taken a minute

    monkeypatch.setattr(worker.unparker, "_before", before)
    release(worker)
    wait_for(lambda: len(seen) == 5, 20, "all messages")
    assert len({*seen}) >= 4


def test_an_error_that_nobody_foresaw_is_reported_and_the_next_release_tries_again(
    worker: TaskParking,
    messages: Messages,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    escaped: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", escaped.append)
    messages.protocol_2(HELD)
    with monkeypatch.context() as broken:
        broken.setattr(worker.unparker, "_claim", lambda store: 1 / 0)
        release(worker)
        wait_for(lambda: "could not be sent back" in caplog.text, 20, "the log line")
        wait_for(lambda: not worker.unparker.busy.locked(), 20, "the end of the thread")
    assert "ZeroDivisionError" in caplog.text
    assert messages.left() == 1
    release(worker)
    wait_for(lambda: len(messages.at_home()) == 1, 20, "the message at home")
    assert not escaped


@pytest.mark.parametrize(
    "text",
    ["{", "7", "[]", '["w2"]', '["w2", "soon"]', '["w2", 1e999]', "[" * 100_000, '[["w2"], 1]'],
)
def test_a_claim_that_cannot_be_read_is_replaced(
    runtime: Runtime,
    worker: TaskParking,
    messages: Messages,
    text: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    runtime.store.write_text(NOTICES, CLAIM, text, expected=0)
    messages.protocol_2(HELD)
    release(worker)
    wait_for(lambda: len(messages.at_home()) == 1, 20, "the message at home")
    assert "cannot be read" in caplog.text


def test_a_mode_that_cannot_be_read_stops_nothing(
    runtime: Runtime, worker: TaskParking, messages: Messages, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.store.write_text(NOTICES, NOTICE, '{"ramp": [1]}', expected=0)
    messages.protocol_2(HELD)
    release(worker)
    wait_for(lambda: len(messages.at_home()) == 1, 20, "the message at home")
    wait_for(lambda: not worker.unparker.busy.locked(), 20, "the end of the thread")
    assert "could not be sent back" not in caplog.text

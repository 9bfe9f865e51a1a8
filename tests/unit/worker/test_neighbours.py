"""What one run does to the others that a worker looks after: nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery

from celery_graceful._celery.consumer import running as running_here
from celery_graceful._celery.message.envelope import Envelope, pack
from celery_graceful._celery.threads.native import StillChanging
from celery_graceful.errors import StoreError, StoreUnavailable
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Outcome, Record, RunKey, State, replace
from celery_graceful.runs.lost import rescue
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.stores.memory_store import MemoryStore
from celery_graceful.worker.lease_renewer import LeaseRenewer

BAD, GOOD = RunKey("shop.walk", "bad"), RunKey("shop.walk", "good")
LEASE = 30.0


class Picky(MemoryStore):
    """A store in which something is wrong with one run."""

    error: Exception = StoreError("something is wrong with this one")

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.beaten: list[RunKey] = []
        self.picky = True

    def _look_at(self, run: RunKey) -> None:
        if run == BAD and self.picky:
            raise self.error

    def swap(self, run: RunKey, *args: Any, **options: Any) -> Any:
        self._look_at(run)
        return super().swap(run, *args, **options)

    def renew(self, owner: str, runs: Collection[RunKey], *, due_in: float) -> None:
        for run in runs:
            self._look_at(run)
        self.beaten += runs


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    with Celery("shop", broker="memory://", set_as_current=False) as app:
        app.conf.update(graceful_store=f"memory://{uuid4()}", graceful_lease_ttl=LEASE)
        yield runtime_of(app)


@pytest.fixture
def store(runtime: Runtime) -> Picky:
    store = Picky(lambda: 1000.0)
    runtime.__dict__["store"] = store
    return store


@pytest.fixture
def lease_renewer(runtime: Runtime) -> LeaseRenewer:
    flag: Any = SimpleNamespace(worker="w1", raised=False, released=False)
    return LeaseRenewer(runtime, flag, lambda: None)


def running(monkeypatch: pytest.MonkeyPatch, *runs: RunKey) -> None:
    monkeypatch.setattr(running_here, "active_runs", lambda node: [tuple(run) for run in runs])


# -- leases ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [StoreError("x"), OverflowError("x"), TypeError("x")])
def test_a_run_whose_lease_cannot_be_renewed_costs_no_other_its_lease(
    monkeypatch: pytest.MonkeyPatch,
    store: Picky,
    lease_renewer: LeaseRenewer,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    store.error = error
    running(monkeypatch, BAD, GOOD)
    for _ in range(3):
        lease_renewer._beat(store)
    assert store.beaten == [GOOD] * 3
    assert len([line for line in caplog.messages if "cannot be renewed" in line]) == 1


def test_a_store_that_is_away_is_everybodys_trouble(
    monkeypatch: pytest.MonkeyPatch, store: Picky, lease_renewer: LeaseRenewer
) -> None:
    store.error = StoreUnavailable("away")
    running(monkeypatch, BAD, GOOD)
    with pytest.raises(StoreUnavailable):
        lease_renewer._beat(store)


def test_leases_are_kept_while_nobody_knows_what_runs(
    monkeypatch: pytest.MonkeyPatch, store: Picky, lease_renewer: LeaseRenewer
) -> None:
    running(monkeypatch, GOOD)
    lease_renewer._beat(store)

    def unknown(node: str) -> list[tuple[str, str]]:
        raise StillChanging("a set changed all the time")

    monkeypatch.setattr(running_here, "active_runs", unknown)
    lease_renewer._beat(store)
    lease_renewer._cancel_revoked(store)
    assert store.beaten == [GOOD, GOOD]
    running(monkeypatch)
    lease_renewer._beat(store)
    assert store.beaten == [GOOD, GOOD], "nothing runs is another answer"


def test_something_runs_while_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    class Never(set[Any]):
        def __iter__(self) -> Iterator[Any]:
            raise RuntimeError("Set changed size during iteration")

    monkeypatch.setattr(running_here.state, "active_requests", Never())
    assert running_here.something_runs()
    with pytest.raises(StillChanging):
        running_here.active_runs("w@host")


def test_a_doubt_that_cannot_be_settled_does_not_hold_up_the_others(
    runtime: Runtime, store: Picky, lease_renewer: LeaseRenewer
) -> None:
    store.picky = False
    for run in (BAD, GOOD):
        assert store.swap(run, 0, Record(State.RUNNING, owner="w1", envelope=b"e"), due_in=9).done
        lease_renewer._in_doubt.append((run, ev.Kill(Outcome.FAILED, "limit")))
    store.picky, store.error = True, OverflowError("a number too large")
    lease_renewer._settle_doubts(store, 0.0)
    found = store.load(GOOD).record
    assert found is not None
    assert found.state is State.ENDED
    assert lease_renewer._in_doubt == []


# -- rescue ------------------------------------------------------------------------------------


def envelope(runtime: Runtime) -> bytes:
    sent = Envelope(b"[]", "application/json", "utf-8", {}, {}, "", "celery", runtime.broker)
    return pack(sent)


class Sent:
    """What would go to the broker."""

    def __init__(self) -> None:
        self.runs: list[RunKey] = []
        self.fails: dict[RunKey, Exception] = {}

    def publish(
        self, runtime: Any, run: RunKey, record: Record, send: Any = None, *, who: str = ""
    ) -> None:
        if run in self.fails:
            raise self.fails[run]
        self.runs.append(run)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    sent = Sent()
    monkeypatch.setattr(rescue, "publish_record", sent.publish)
    return sent


def overdue(store: Picky, packed: bytes, run: RunKey, **fields: Any) -> None:
    picky, store.picky = store.picky, False
    record = replace(Record(State.INTERRUPTED, envelope=packed), **fields)
    assert store.swap(run, 0, record, due_in=-1.0).done
    store.picky = picky


DEEP = b'{"headers":' + b"[" * 200_000 + b"\n"


@pytest.mark.parametrize(
    "packed",
    [
        DEEP,
        b"k" + DEEP,
        b"1" * 5000 + b"\n",
        b"\xff\n",
        b"",
        b"k" + json.dumps({"headers": {"__type__": "datetime", "__value__": [1]}}).encode() + b"\n",
    ],
    ids=["deep", "deep for kombu", "digits", "no UTF-8", "nothing", "a type of another kind"],
)
def test_a_message_that_cannot_be_read_is_passed_over(
    runtime: Runtime, store: Picky, sent: Sent, packed: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store.picky = False
    overdue(store, packed, BAD)
    overdue(store, envelope(runtime), GOOD)
    rescuer = rescue.Rescuer(runtime, store)
    for now in (0.0, 100.0, 200.0):
        rescuer.look(now)
    assert sent.runs == [GOOD]
    assert len([line for line in caplog.messages if str(BAD) in line]) == 1


@pytest.mark.parametrize("error", [StoreError("x"), OverflowError("x"), RecursionError("x")])
def test_a_record_that_cannot_be_written_is_passed_over(
    runtime: Runtime, store: Picky, sent: Sent, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    store.error = error
    overdue(store, envelope(runtime), BAD)
    overdue(store, envelope(runtime), GOOD)
    rescuer = rescue.Rescuer(runtime, store)
    for now in (0.0, 100.0, 200.0):
        rescuer.look(now)
    assert sent.runs == [GOOD]
    assert len([line for line in caplog.messages if str(BAD) in line]) == 1


def test_a_message_that_no_broker_could_carry_is_passed_over(
    runtime: Runtime, store: Picky, sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    store.picky = False
    sent.fails[BAD] = OverflowError("a header too large")
    overdue(store, envelope(runtime), BAD)
    overdue(store, envelope(runtime), GOOD)
    rescue.Rescuer(runtime, store).look(0.0)
    assert sent.runs == [GOOD]


def test_what_holds_may_fail_for_one(runtime: Runtime, store: Picky, sent: Sent) -> None:
    store.picky = False
    overdue(store, envelope(runtime), BAD)
    overdue(store, envelope(runtime), GOOD)

    def held(task: str, queue: str) -> bool:
        if not sent.runs:
            sent.runs.append(BAD)
            raise ValueError("a pattern that is none")
        return False

    rescue.Rescuer(runtime, store, held).look(0.0)
    assert GOOD in sent.runs

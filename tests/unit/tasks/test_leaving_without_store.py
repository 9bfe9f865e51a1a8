"""An execution whose store is away leaves its slot, if its message can carry the run on."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from kombu.exceptions import OperationalError

from celery_graceful._celery.message.headers import HEADER_LIMIT
from celery_graceful.errors import (
    CorruptRecord,
    PublishUncertain,
    StoreUnavailable,
    Unroutable,
)
from celery_graceful.execution import leaving
from celery_graceful.execution.journal import store_outage
from celery_graceful.execution.journal.store_outage import LEAVE_AGAIN, STORE_RETRY, StoreOutage
from celery_graceful.execution.leaving import late_checkpoints
from celery_graceful.execution.loop import Interrupted
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import Record, RunKey, State
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.runs.lost.left_messages import left_with
from celery_graceful.runs.ticket import Ticket

AWAY = "store_unavailable"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_checkpoints, "RETRY", 0.01)
    monkeypatch.setattr(late_checkpoints, "can_be_late", lambda: True)
    monkeypatch.setattr(late_checkpoints, "_stopped_at", {})


class FakeTicket:
    """A ticket whose store is away, and whose broker does what it is told."""

    def __init__(self, *troubles: BaseException) -> None:
        self.run, self.refused, self.patience = "run", "", lambda waited: False
        self.runtime = SimpleNamespace(
            settings=SimpleNamespace(release_timeout=7.0, lease_ttl=30.0)
        )
        self.record = SimpleNamespace(stalls=0, requested=None)
        self.fence = 5
        self.troubles = list(troubles)
        self.sent: list[tuple[str, int, str]] = []
        self.told: list[str] = []
        self.away = True
        self.runtime.store = self
        self.saved: list[tuple[int, str, int]] = []
        self.asked = 0

    def checkpoint(self, run: str, fence: int, text: str, steps: int, *, due_in: float) -> None:
        self.asked += 1
        if self.asked < 3:
            raise StoreUnavailable("away")
        self.saved.append((fence, text, steps))

    def check_successor(self) -> None:
        """It can be made."""

    def leave_without_store(self, text: str, steps: int, reason: str) -> None:
        if self.troubles:
            raise self.troubles.pop(0)
        self.sent.append((text, steps, reason))

    def hand_over(self, text: str, steps: int, reason: str, **options: Any) -> Any:
        if self.away:
            raise StoreUnavailable("away")
        self.told.append(reason)
        return SimpleNamespace(verdict=Verdict.PUBLISH)

    def publish(self) -> None:
        self.told.append("published")


def run_with(ticket: FakeTicket) -> Any:
    return SimpleNamespace(
        request=SimpleNamespace(timelimit=None),
        key="run",
        task=SimpleNamespace(name="task"),
        execution=SimpleNamespace(
            id="1",
            details={"task_id": "1"},
            work=SimpleNamespace(began=False),
            checkpoint=Checkpoint(cursor=8, steps=9),
            cursor=8,
            steps=9,
            began_at=(0, None),
            bounds=None,
            not_migrated="",
        ),
        journal=SimpleNamespace(
            outage=SimpleNamespace(may_leave=True, ends_the_wait=lambda waited: True)
        ),
        leaving=False,
        left=False,
        flag=SimpleNamespace(owner_pid=0, solo=False, raised=False, deadline=None, worker="w"),
        report=SimpleNamespace(stop=lambda: None, settle=lambda seconds: None, resume=lambda: None),
        ticket=ticket,
    )


def test_its_message_carries_the_checkpoint() -> None:
    ticket = FakeTicket()
    run = run_with(ticket)
    with pytest.raises(Ignore):
        leaving.leave(run, AWAY)
    assert ticket.sent == [(encode(Checkpoint(cursor=8, steps=9)), 9, AWAY)]
    assert run.left
    assert not ticket.told, "the store hears of it from the successor's admission"
    late_checkpoints.wait_for_all()
    saved = (5, encode(Checkpoint(cursor=8, steps=9)), 9)
    assert ticket.saved == [saved], "or as soon as it answers: a killed worker may have the message"


@pytest.mark.parametrize(
    ("lease", "deadline"), [(0.05, None), (600.0, late_checkpoints.SPARE + 0.05)]
)
def test_a_process_that_ends_waits_for_the_store_for_a_lease_and_within_the_grace_period(
    lease: float, deadline: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    ticket = FakeTicket()
    run = run_with(ticket)
    run.flag.raised = True
    run.flag.deadline = None if deadline is None else time.monotonic() + deadline
    run.flag.wait_released = lambda seconds: None
    ticket.runtime.settings.lease_ttl = lease
    ticket.asked = -1000  # it stays away
    with pytest.raises(Ignore):
        leaving.leave(run, AWAY)
    late_checkpoints.wait_for_all()
    assert not ticket.saved
    assert ticket.asked > -1000 + 1
    assert "run was left after 9 items, but the store does not know" in caplog.text


def test_all_runs_of_a_process_wait_for_one_lease() -> None:
    tickets = [FakeTicket() for _ in range(6)]
    began = time.monotonic()
    for ticket in tickets:
        run = run_with(ticket)
        run.flag.raised = True
        run.flag.wait_released = lambda seconds: None
        ticket.runtime.settings.lease_ttl = 1.0
        ticket.asked = -1000  # it stays away
        with pytest.raises(Ignore):
            leaving.leave(run, AWAY)
    late_checkpoints.wait_for_all()
    assert time.monotonic() - began < 3.0, "not one lease after the other"
    assert all(ticket.asked > -1000 for ticket in tickets), "each was tried"


@pytest.mark.parametrize("trouble", [OperationalError("away"), Unroutable("?"), CorruptRecord("?")])
def test_while_nothing_can_be_sent_it_waits_on(trouble: Exception) -> None:
    run = run_with(FakeTicket(trouble))
    leaving.leave(run, AWAY)
    assert not run.left
    assert not run.leaving


@pytest.mark.parametrize("trouble", [PublishUncertain("?"), SoftTimeLimitExceeded(), ValueError()])
def test_after_an_uncertain_message_it_does_nothing_but_tell_the_store(trouble: Exception) -> None:
    """The message may be on its way, so no item runs here: the store hears of the hand-over."""
    ticket = FakeTicket(trouble)
    ticket.away = False
    run = run_with(ticket)
    with pytest.raises(Ignore):
        leaving.leave(run, AWAY)
    assert ticket.told == [AWAY, "published"]


def test_an_uncertain_message_and_no_store_until_it_has_to_stop() -> None:
    """The message in hand would compete with the one that may be on its way: a lease decides."""
    run = run_with(FakeTicket(PublishUncertain("?")))
    with pytest.raises(Ignore):
        leaving.leave(run, AWAY)
    assert run.left


@pytest.mark.parametrize("reason", ["shutdown", "maintenance", "max_execution_time"])
def test_a_stop_while_the_store_is_away_loses_no_item(reason: str) -> None:
    ticket = FakeTicket()
    run = run_with(ticket)
    with pytest.raises(Ignore):
        leaving.leave(run, reason)
    assert ticket.sent == [(encode(Checkpoint(cursor=8, steps=9)), 9, reason)]


@pytest.mark.parametrize("reason", ["paused", "cancelled"])
def test_what_an_operator_wants_is_written_to_the_store(reason: str) -> None:
    ticket = FakeTicket()
    with pytest.raises(Reject):
        leaving.leave(run_with(ticket), reason)
    assert not ticket.sent


@pytest.mark.parametrize("where", ["bounds", "not_migrated"])
def test_a_run_that_pauses_itself_leaves_its_slot(where: str) -> None:
    """Its next execution finds the same reason to pause, before any item."""
    ticket = FakeTicket()
    run = run_with(ticket)
    why = SimpleNamespace(pauses="after 5 items") if where == "bounds" else "it has no migration"
    setattr(run.execution, where, why)
    with pytest.raises(Ignore):
        leaving.leave(run, "paused")
    assert ticket.sent == [(encode(Checkpoint(cursor=8, steps=9)), 9, "paused")]


def test_a_stop_while_store_and_broker_are_away_gives_the_message_back() -> None:
    with pytest.raises(Reject) as caught:
        leaving.leave(run_with(FakeTicket(OperationalError("away"))), "shutdown")
    assert caught.value.requeue  # type: ignore[attr-defined]


# -- when ------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(store_outage, "time", clock)
    return clock


def waiting(
    answers: list[bool], clock: Clock, *, without_store: str = "run"
) -> tuple[StoreOutage, list[float]]:
    """The outage of an execution that waits for its store, and when it has asked the broker."""
    asked: list[float] = []

    def ask(text: str) -> bool:
        asked.append(clock.now)
        return answers.pop(0)

    settings = SimpleNamespace(store_patience=2.0, without_store=without_store, lease_ttl=30.0)
    ticket: Any = SimpleNamespace(
        run="task[id]", may_leave=ask, runtime=SimpleNamespace(settings=settings)
    )
    execution: Any = SimpleNamespace(cursor=7, checkpoint=Checkpoint())
    stops: Any = SimpleNamespace(check=lambda now: None)
    return StoreOutage(execution, ticket, stops, 1.0), asked


def wait_on(waits: StoreOutage, clock: Clock, exc: StoreUnavailable) -> None:
    for _ in range(100):
        waits.wait()
        waits.failed(clock.now, exc)


def test_it_leaves_when_patience_is_over(clock: Clock) -> None:
    waits, asked = waiting([True], clock)
    gone = StoreUnavailable("refused")
    waits.failed(clock.now, gone)
    with pytest.raises(Interrupted) as caught:
        wait_on(waits, clock, gone)
    assert caught.value.reason == AWAY
    assert asked == [1000.0 + 2.0 + STORE_RETRY]


def test_a_broker_that_is_away_is_not_asked_all_the_time(clock: Clock) -> None:
    """Where it is the same server as the store, say."""
    waits, asked = waiting([False, False, True], clock)
    gone = StoreUnavailable("refused")
    waits.failed(clock.now, gone)
    with pytest.raises(Interrupted):
        wait_on(waits, clock, gone)
    assert asked == [1002.5, 1002.5 + LEAVE_AGAIN, 1002.5 + 2 * LEAVE_AGAIN]


def test_the_strict_way_waits_in_the_slot(clock: Clock) -> None:
    waits, asked = waiting([], clock, without_store="wait")
    waits.failed(clock.now, StoreUnavailable("refused"))
    for _ in range(1000):
        waits.wait()
    assert not asked


@pytest.mark.parametrize(
    ("text", "restoring", "envelope", "can"),
    [
        ("x", False, b"good", True),
        ("x" * (HEADER_LIMIT + 1), False, b"good", False),
        ("x", True, b"good", False),
        ("x", False, b"", False),
    ],
    ids=["small", "too large to travel", "its record is being written back", "no message"],
)
def test_what_a_message_can_carry(
    text: str, restoring: bool, envelope: bytes, can: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime: Any = SimpleNamespace(settings=SimpleNamespace(lease_ttl=30.0))
    ticket = Ticket(runtime, RunKey("task", "id"), Record(State.RUNNING, envelope=envelope), "w")
    never: Any = object()
    ticket._restore = never if restoring else None
    monkeypatch.setattr("celery_graceful.runs.ticket.broker_answers", lambda runtime: True)
    if envelope:
        monkeypatch.setattr(Ticket, "check_successor", lambda self: None)
    assert ticket.may_leave(text) is can


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ({"graceful_left": 5, "graceful_checkpoint": encode(Checkpoint(3, steps=4))}, (5, 4)),
        ({"graceful_left": 5}, None),
        ({"graceful_left": "5", "graceful_checkpoint": encode(Checkpoint())}, None),
        ({"graceful_left": True, "graceful_checkpoint": encode(Checkpoint())}, None),
        ({"graceful_left": 5, "graceful_checkpoint": "{"}, None),
        ({"graceful_left": 5, "graceful_checkpoint": 7}, None),
        ({}, None),
    ],
)
def test_headers_that_hold_garbage(headers: dict[str, Any], left: tuple[int, int] | None) -> None:
    found = left_with(headers)
    assert (None if found is None else (found.fence, found.steps)) == left

"""Quarantined items of a run are kept as long as its summary, whoever ended it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from celery_graceful.errors import StoreUnavailable
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.decide import TABLE
from celery_graceful.model.run.record import Outcome, Record, Request, RunKey, State, replace
from celery_graceful.model.run.verdict import Policy, Verdict
from celery_graceful.runs.ticket import KEPT_WHILE_LIVE, Ticket
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.stores.memory_store import MemoryStore

#: Seconds that ended runs are kept.
KEPT = 7200.0
RUN = RunKey("proj.tasks.reindex", "one")
POLICY = Policy(run_retention=KEPT)
CANCELLED = Record(State.RUNNING, generation=1, fence=1, owner="w", requested=Request.CANCEL)


def samples() -> Iterator[tuple[State | None, ev.Event]]:
    """Each pair of the table, with an event that may end the run, and who carries it."""
    for state, kind in TABLE:
        if kind in (ev.Forget, ev.Replay):  # which leaves nothing behind, and which ends nothing
            continue
        made: dict[type[Any], ev.Event] = {
            ev.Admit: ev.Admit(1, "other", redelivered=True),
            ev.Enqueue: ev.Enqueue(b"", "", 2),
            ev.Restore: ev.Restore(1, CANCELLED, 2),
            ev.HandOver: ev.HandOver(1, None, 0, "shutdown"),
            ev.Wait: ev.Wait(1, None, 0, "retry"),
            ev.Reclaim: ev.Reclaim(1, "w"),
            ev.Finish: ev.Finish(1, None, 0, "{}", Outcome.COMPLETED),
            ev.End: ev.End(1, Outcome.COMPLETED),
            ev.Kill: ev.Kill(Outcome.FAILED, "hard time limit", 1),
            ev.Release: ev.Release("w", 1),
            ev.Rescue: ev.Rescue(),
            ev.MarkUnroutable: ev.MarkUnroutable(1, "no queue"),
            ev.Cancel: ev.Cancel(),
            ev.Pause: ev.Pause(),
            ev.Resume: ev.Resume(),
            ev.Resend: ev.Resend(),
            ev.NoteAdjusted: ev.NoteAdjusted(1),
            ev.Retry: ev.Retry(1, b"message"),
            ev.Adjust: ev.Adjust(1, "", b""),
            ev.Evict: ev.Evict(),
        }
        yield state, made[kind]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Place:
    """A store in which a run has quarantined an item, 100 seconds ago."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        assert self.store.swap(RUN, 0, CANCELLED, due_in=10).done
        assert self.store.quarantine(RUN, 1, 7, "entry", keep=KEPT_WHILE_LIVE + KEPT)
        self.clock.now += 100

    def stands(self, state: State | None) -> None:
        """The run is in this state; ``None``: its record has vanished."""
        if state is None:
            rows: Any = self.store
            rows._rows.clear()
        else:
            assert self.store.swap(RUN, 1, replace(CANCELLED, state=state), due_in=0.0).done

    def is_kept(self) -> bool:
        return bool(self.store.count_quarantined(RUN, 0, 1))


@pytest.mark.parametrize(("state", "event"), [*samples()], ids=str)
def test_whoever_ends_a_run_for_its_owner(state: State | None, event: ev.Event) -> None:
    place = Place()
    place.stands(state)
    done = transition(place.store, RUN, event, POLICY)
    record = place.store.load(RUN).record
    ends = not isinstance(event, ev.End) and done.decision.keep is not None
    assert ends <= (record is not None and not record.live)
    place.clock.now += KEPT - 1
    assert place.is_kept()
    place.clock.now += 2
    assert place.is_kept() != ends


def test_the_table_has_all_the_ends() -> None:
    """Those that the test above has met, lest it meets none."""
    found = set()
    for state, event in samples():
        place = Place()
        place.stands(state)
        if transition(place.store, RUN, event, POLICY).decision.keep is not None:
            found.add(type(event))
    assert found == {ev.HandOver, ev.Wait, ev.End, ev.Kill, ev.Rescue, ev.Cancel, ev.Evict}


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    app = Celery("ending", broker="memory://", set_as_current=False)
    app.conf.graceful_store, app.conf.graceful_run_retention = "memory://", KEPT
    yield runtime_of(app)
    app.close()


@pytest.mark.parametrize(
    ("resumptions", "items", "kept"),
    [(0, True, False), (0, False, True), (1, False, False)],
    ids=["it may have some", "it has none", "an earlier execution may have some"],
)
def test_its_owner_ends_it(runtime: Runtime, resumptions: int, items: bool, kept: bool) -> None:
    """It saves the call to the store where there cannot be any."""
    place = Place()
    runtime.__dict__["store"] = place.store
    record = place.store.load(RUN).record
    assert record is not None
    ticket = Ticket(runtime, RUN, replace(record, resumptions=resumptions), "w")
    ticket.end(Outcome.COMPLETED, items=items)
    place.clock.now += KEPT + 1
    assert place.is_kept() == kept


def test_an_owner_that_is_superseded_leaves_the_items_of_the_other(runtime: Runtime) -> None:
    place = Place()
    runtime.__dict__["store"] = place.store
    ticket = Ticket(runtime, RUN, replace(CANCELLED, fence=0, version=9), "w")
    assert ticket.end(Outcome.COMPLETED).verdict is Verdict.REFUSED
    place.clock.now += KEPT + 1
    assert place.is_kept()


def test_a_store_that_fails_in_between_does_not_undo_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place()

    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("gone")

    place.store.expire_quarantined = away  # type: ignore[method-assign]
    kill = ev.Kill(Outcome.FAILED, "hard time limit", 1)
    done = transition(place.store, RUN, kill, POLICY)
    assert done.record is not None
    assert not done.record.live
    assert "its quarantined items are kept longer than its summary: gone" in caplog.text


class Away(MemoryStore):
    """Takes transitions, and no longer answers when items are to be kept."""

    asked = 0

    def expire_quarantined(self, run: RunKey, *, keep: float) -> None:
        self.asked += 1
        raise StoreUnavailable("away")


def test_a_run_that_has_ended_does_not_wait_for_its_items() -> None:
    store = Away()
    store.swap(RUN, 0, Record(State.RUNNING, generation=1, fence=1, owner="w"), due_in=30)
    done = transition(
        store, RUN, ev.Kill(Outcome.FAILED, "hard time limit", 1), POLICY, patience=60.0
    )
    assert done.record is not None
    assert (done.record.state, store.asked) == (State.ENDED, 1)

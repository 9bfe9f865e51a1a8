"""What a decision writes into the record: generation, fence, checkpoint and the counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.bystander import MOST_LEASES
from celery_graceful.model.run.decide import decide
from celery_graceful.model.run.record import Record, State
from celery_graceful.model.run.verdict import Verdict
from tests.unit.model.test_table import (
    ENDED,
    EQUAL,
    FENCE,
    FINISHING,
    FRESH,
    GENERATION,
    HAND_OVER,
    INTERRUPTED,
    KILL,
    LEASE,
    NEWER,
    NOW,
    POLICY,
    RECLAIM,
    RELEASE,
    RETURNED,
    RUNNING,
    WAIT,
    WAITING,
    name,
)


def _after(record: Record | None, event: ev.Event) -> Record:
    written = decide(record, event, NOW, POLICY).record
    assert written is not None
    return written


def test_a_start_knows_its_message() -> None:
    r = _after(None, ev.Admit(0, "w1", envelope=b"new", at=7.0))
    expected = Record(
        State.RUNNING, fence=1, owner="w1", envelope=b"new", started_at=7.0, version=1
    )
    assert r == expected


def test_the_fence_of_a_run_that_begins_is_one_that_nobody_else_holds() -> None:
    """Counted from 1, it could be that of an owner whose record vanished."""
    fresh = replace(FRESH, fresh_fence=1000)
    assert _after(None, fresh).fence == 1000
    assert _after(ENDED, fresh).fence == 1000
    assert _after(replace(ENDED, fence=2000), fresh).fence == 2001


def test_a_run_knows_whether_its_id_was_used_before() -> None:
    assert _after(None, FRESH).after == 0
    assert _after(ENDED, FRESH).after == FENCE


@pytest.mark.parametrize("held", [RUNNING, FINISHING, INTERRUPTED], ids=name)
@pytest.mark.parametrize(("fresh", "fence"), [(1000, 1000), (1, FENCE + 1)])
def test_the_owner_writes_back_all_it_holds(held: Record, fresh: int, fence: int) -> None:
    after = _after(None, ev.Restore(FENCE, held, fresh))
    assert after == replace(held, fence=fence, version=fence)


def test_who_was_killed_cannot_write_its_record_back() -> None:
    killed = _after(None, replace(KILL, generation=GENERATION))
    assert (killed.outcome, killed.generation) == (KILL.outcome, GENERATION)
    restore = ev.Restore(FENCE, RUNNING, 1000)
    assert decide(killed, restore, NOW, POLICY).verdict is Verdict.REFUSED


def test_an_admission_fences_off_whoever_had_the_run() -> None:
    for record, event in [
        (replace(RUNNING, owner=None), EQUAL), (RUNNING, NEWER), (INTERRUPTED, EQUAL),
        (WAITING, EQUAL), (replace(FINISHING, owner=None), EQUAL), (ENDED, FRESH),
    ]:  # fmt: skip
        r = _after(record, event)
        assert (r.fence, r.owner, r.envelope) == (FENCE + 1, "w1", b"new")


def test_an_admission_keeps_the_checkpoint_of_the_store() -> None:
    r = _after(INTERRUPTED, replace(NEWER, checkpoint="of the message"))
    assert (r.checkpoint, r.steps, r.execution_steps, r.resumptions) == ("four", 4, 4, 1)
    assert r.generation == NEWER.generation


def test_a_message_without_envelope_leaves_the_one_on_record() -> None:
    assert _after(INTERRUPTED, replace(EQUAL, envelope=b"")).envelope == b"envelope"


@pytest.mark.parametrize("event", [HAND_OVER, WAIT])
def test_a_successor_supersedes_its_message(event: ev.Event) -> None:
    r = _after(RUNNING, event)
    assert (r.generation, r.fence, r.checkpoint, r.steps) == (GENERATION + 1, FENCE, "six", 6)


def test_a_returned_message_keeps_its_generation() -> None:
    assert _after(RUNNING, RETURNED).generation == GENERATION


def test_a_reclaim_fences_off_the_successor_of_itself() -> None:
    assert _after(INTERRUPTED, RECLAIM).fence == FENCE + 1


@pytest.mark.parametrize("event", [KILL, ev.Cancel()])
def test_what_ends_a_run_from_outside_fences_off_its_execution(event: ev.Event) -> None:
    assert _after(INTERRUPTED, event).fence == FENCE + 1


def test_a_pause_makes_the_pending_message_old() -> None:
    paused = _after(INTERRUPTED, ev.Pause())
    assert paused.generation == GENERATION + 1
    assert _after(paused, ev.Resume()).generation == GENERATION + 2


def test_a_crash_is_counted_once() -> None:
    released = _after(RUNNING, RELEASE)
    assert (released.crashes, released.crash_steps) == (1, 4)
    late = replace(released, due_at=NOW)
    assert _after(late, EQUAL).crashes == 1
    assert _after(late, ev.Rescue()).crashes == 1


@pytest.mark.parametrize(("at", "crashes"), [(4, 3), (3, 1), (-1, 1)])
def test_crashes_count_as_long_as_nothing_is_added(at: int, crashes: int) -> None:
    r = _after(replace(RUNNING, crashes=2, crash_steps=at, due_at=NOW), ev.Rescue())
    assert (r.crashes, r.crash_steps) == (crashes, 4)


def test_limit_of_crashes_off() -> None:
    r = replace(RUNNING, crashes=99, crash_steps=4, owner=None)
    assert decide(r, EQUAL, NOW, replace(POLICY, max_crashes=0)).verdict is Verdict.RESUME


def test_a_execution_that_left_is_no_crash() -> None:
    left = _after(replace(RUNNING, crashes=2, crash_steps=4), replace(RELEASE, crashed=False))
    assert (left.owner, left.crashes, left.last_crash) == (None, 2, "")
    assert _after(left, EQUAL).crashes == 2
    assert _after(replace(left, due_at=NOW), ev.Rescue()).crashes == 2


def test_a_stop_is_no_crash() -> None:
    assert _after(_after(RUNNING, HAND_OVER), NEWER).crashes == 0


@pytest.mark.parametrize("record", [INTERRUPTED, WAITING, FINISHING], ids=name)
def test_the_wait_for_an_admission_doubles_up_to_a_limit(record: Record) -> None:
    waits: list[float] = []
    r = record
    for _ in range(9):
        d = decide(replace(r, due_at=NOW), ev.Rescue(), NOW, POLICY)
        assert d.record is not None
        assert d.due_in is not None
        r, waits = d.record, [*waits, d.due_in / LEASE]
    assert waits == [2, 4, 8, 16, 32, MOST_LEASES, MOST_LEASES, MOST_LEASES, MOST_LEASES]
    assert r.generation == GENERATION, "the first of these messages is as good as the last"
    assert _after(replace(r, due_at=NOW), EQUAL).republished == 0


@pytest.mark.parametrize("record", [INTERRUPTED, FINISHING], ids=name)
def test_what_is_published_again_never_looks_fresh(record: Record) -> None:
    assert _after(replace(record, generation=0, due_at=NOW), ev.Rescue()).generation == 1

"""The table row by row: what each event does to a run in each state, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.decide import TABLE, decide
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.model.run.record import Outcome, Record, Request, State
from celery_graceful.model.run.verdict import Decision, Policy, Verdict

NOW, LEASE = 100.0, 30.0
POLICY = Policy(lease_ttl=LEASE, max_crashes=3, run_retention=600.0)
GENERATION, FENCE = 3, 5

RUNNING = Record(
    State.RUNNING,
    generation=GENERATION,
    fence=FENCE,
    owner="w0",
    due_at=NOW + 12.0,
    checkpoint="four",
    steps=4,
    envelope=b"envelope",
)
INTERRUPTED = replace(RUNNING, state=State.INTERRUPTED, owner=None)
WAITING = replace(INTERRUPTED, state=State.RETRYING)
PAUSED = replace(INTERRUPTED, state=State.PAUSED, due_at=None)
FINISHING = replace(RUNNING, state=State.FINISHING, outcome=Outcome.COMPLETED, result="result")
ENDED = replace(PAUSED, state=State.ENDED, outcome=Outcome.FAILED)
COMPLETED = {"outcome": Outcome.COMPLETED, "envelope": b""}
RECORDS = {r.state: r for r in (RUNNING, INTERRUPTED, WAITING, PAUSED, FINISHING, ENDED)}

LOST = {"due_at": NOW}
RELEASED = {"owner": None}

OLDER, EQUAL, NEWER = (ev.Admit(g, "w1", envelope=b"new") for g in (2, 3, 4))
FRESH, REDELIVERED = ev.Admit(0, "w1", envelope=b"new"), ev.Admit(0, "w1", redelivered=True)
#: Of an owner that left while the store was away.
LEFT = replace(NEWER, left=FENCE, checkpoint="six", steps=6)
ENQUEUE = ev.Enqueue(b"new", '{"limit":5}', 1000)
HAND_OVER = ev.HandOver(FENCE, "six", 6, "shutdown")
RETURNED = replace(HAND_OVER, successor=False)
WAIT = ev.Wait(FENCE, "six", 6, "retry", delay=50.0)
RECLAIM = ev.Reclaim(FENCE, "w0")
FINISH = ev.Finish(FENCE, "six", 6, "result", Outcome.COMPLETED)
END = ev.End(FENCE, Outcome.COMPLETED)
KILL = ev.Kill(Outcome.FAILED, "hard time limit")
RELEASE = ev.Release("w0", GENERATION)
RESTORE = ev.Restore(FENCE, RUNNING, 1000)
MARK_UNROUTABLE = ev.MarkUnroutable(GENERATION, "no queue takes it")
NOTE_ADJUSTED = ev.NoteAdjusted(FENCE)
RETRY = ev.Retry(GENERATION, b"envelope")
REWIND = replace(RETRY, rewinds=True, checkpoint="two")
ADJUST = ev.Adjust(GENERATION, '{"batch_size":5}', b"envelope")
MOVE = replace(ADJUST, moves=True)
SAMPLES: tuple[ev.Event, ...] = (
    FRESH, REDELIVERED, OLDER, EQUAL, NEWER, ENQUEUE, HAND_OVER, RETURNED, WAIT, RECLAIM, FINISH,
    END, KILL, RESTORE, RELEASE, ev.Rescue(), MARK_UNROUTABLE, ev.Cancel(), ev.Pause(), ev.Resume(),
    ev.Resend(), NOTE_ADJUSTED, RETRY, REWIND, ADJUST, MOVE, ev.Evict(), ev.Replay(),
    ev.Forget(),
)  # fmt: skip

S, V = State, Verdict
Row = tuple[Record | None, dict[str, Any], ev.Event, Verdict, State | None, float | None]
#: The record, how it differs from the plain one, the event; the verdict, the state that is written
#: (``None``: nothing is), and when the run is due next.
ROWS: list[Row] = [
    (None, {}, FRESH, V.START, S.RUNNING, LEASE),
    (None, {}, NEWER, V.START, S.RUNNING, LEASE),
    (None, {}, replace(NEWER, checkpoint="four"), V.RESUME, S.RUNNING, LEASE),
    (None, {}, replace(NEWER, left_out=True), V.LOST, S.RUNNING, LEASE),
    (None, {}, replace(NEWER, deleted=True), V.DROP, None, None),
    (ENDED, {}, replace(FRESH, deleted=True), V.START, S.RUNNING, LEASE),
    (None, {}, ENQUEUE, V.PUBLISH, S.INTERRUPTED, LEASE),
    (None, {}, RESTORE, V.DONE, S.RUNNING, LEASE),
    (None, {}, replace(RESTORE, record=FINISHING), V.DONE, S.FINISHING, LEASE),
    (None, {}, replace(RESTORE, record=INTERRUPTED), V.DONE, S.INTERRUPTED, LEASE),
    (None, {}, KILL, V.GONE, None, None),
    (None, {}, replace(KILL, generation=GENERATION), V.DONE, S.ENDED, None),
    (RUNNING, {}, OLDER, V.DROP, None, None),
    (RUNNING, LOST, OLDER, V.DROP, None, None),
    (RUNNING, {}, EQUAL, V.DROP, None, None),
    (RUNNING, LOST, EQUAL, V.DROP, None, None),
    (RUNNING, {"envelope": b"", **LOST}, EQUAL, V.RESUME, S.RUNNING, LEASE),
    (RUNNING, RELEASED, EQUAL, V.RESUME, S.RUNNING, LEASE),
    (RUNNING, {}, NEWER, V.RESUME, S.RUNNING, LEASE),
    (RUNNING, {"crashes": 3, "crash_steps": 4, **RELEASED}, EQUAL, V.GIVE_UP, S.RUNNING, LEASE),
    (RUNNING, {"crashes": 3, "crash_steps": 3, **RELEASED}, EQUAL, V.RESUME, S.RUNNING, LEASE),
    (RUNNING, {}, LEFT, V.RESUME, S.RUNNING, LEASE),
    (RUNNING, {}, replace(LEFT, generation=2), V.DROP, None, None),
    (RUNNING, {}, replace(LEFT, left=FENCE - 1), V.DROP, None, None),
    (RUNNING, RELEASED, replace(LEFT, left=FENCE - 1), V.DROP, None, None),
    (INTERRUPTED, {}, LEFT, V.RESUME, S.RUNNING, LEASE),
    (PAUSED, {}, LEFT, V.DROP, S.PAUSED, None),
    (PAUSED, {}, replace(LEFT, left=FENCE - 1), V.DROP, None, None),
    (INTERRUPTED, {}, OLDER, V.DROP, None, None),
    (INTERRUPTED, {}, EQUAL, V.RESUME, S.RUNNING, LEASE),
    (INTERRUPTED, {}, NEWER, V.RESUME, S.RUNNING, LEASE),
    (INTERRUPTED, {"crashes": 3, "crash_steps": 4}, EQUAL, V.GIVE_UP, S.RUNNING, LEASE),
    (INTERRUPTED, {"crashes": 3, "crash_steps": 3}, EQUAL, V.RESUME, S.RUNNING, LEASE),
    (WAITING, {}, OLDER, V.DROP, None, None),
    (WAITING, {}, EQUAL, V.RESUME, S.RUNNING, LEASE),
    (PAUSED, {}, EQUAL, V.DROP, None, None),
    (PAUSED, {}, NEWER, V.DROP, None, None),
    (FINISHING, {}, OLDER, V.DROP, None, None),
    (FINISHING, {}, EQUAL, V.DROP, None, None),
    (FINISHING, LOST, EQUAL, V.DROP, None, None),
    (FINISHING, RELEASED, EQUAL, V.RETURN_SAVED, S.FINISHING, LEASE),
    (FINISHING, {}, NEWER, V.RETURN_SAVED, S.FINISHING, LEASE),
    (ENDED, {}, REDELIVERED, V.DROP, None, None),
    (ENDED, {}, NEWER, V.DROP, None, None),
    (ENDED, {}, FRESH, V.START, S.RUNNING, LEASE),
    (ENDED, {"ended_at": NOW - 5}, FRESH, V.START, S.RUNNING, LEASE),
    (ENDED, {"ended_at": NOW - 5}, replace(FRESH, waited=4.9), V.START, S.RUNNING, LEASE),
    (ENDED, {"ended_at": NOW - 5}, replace(FRESH, waited=5.0), V.DROP, None, None),
    (RUNNING, {}, HAND_OVER, V.PUBLISH, S.INTERRUPTED, LEASE),
    (RUNNING, LOST, HAND_OVER, V.PUBLISH, S.INTERRUPTED, LEASE),
    (RUNNING, {}, RETURNED, V.PUBLISH, S.INTERRUPTED, LEASE),
    (RUNNING, {"requested": Request.PAUSE}, HAND_OVER, V.DONE, S.PAUSED, None),
    (RUNNING, {"requested": Request.CANCEL}, HAND_OVER, V.DONE, S.ENDED, None),
    (RUNNING, {}, replace(HAND_OVER, reason=StopReason.CANCELLED), V.DONE, S.ENDED, None),
    (RUNNING, {}, WAIT, V.PUBLISH, S.RETRYING, 50.0 + LEASE),
    (RUNNING, {"requested": Request.CANCEL}, WAIT, V.DONE, S.ENDED, None),
    (RUNNING, {}, FINISH, V.DONE, S.FINISHING, LEASE),
    (FINISHING, {}, FINISH, V.DONE, S.FINISHING, LEASE),
    (RUNNING, {}, END, V.DONE, S.ENDED, None),
    (FINISHING, {}, END, V.DONE, S.ENDED, None),
    (INTERRUPTED, {}, RECLAIM, V.RESUME, S.RUNNING, LEASE),
    (RUNNING, {}, RELEASE, V.DONE, S.RUNNING, LEASE),
    (FINISHING, {}, RELEASE, V.DONE, S.FINISHING, LEASE),
    (RUNNING, {}, replace(RELEASE, generation=2), V.REFUSED, None, None),
    (RUNNING, {}, replace(RELEASE, owner="w1"), V.REFUSED, None, None),
    (RUNNING, {}, replace(RELEASE, late=True), V.DONE, S.RUNNING, 0.0),
    (RUNNING, {}, replace(RELEASE, fence=FENCE), V.DONE, S.RUNNING, LEASE),
    (RUNNING, {}, replace(RELEASE, crashed=False), V.DONE, S.RUNNING, LEASE),
    (RUNNING, RELEASED, RELEASE, V.REFUSED, None, None),
    (RUNNING, {}, ev.Rescue(), V.REFUSED, None, None),
    (RUNNING, LOST, ev.Rescue(), V.PUBLISH, S.INTERRUPTED, LEASE),
    (RUNNING, {"requested": Request.CANCEL, **LOST}, ev.Rescue(), V.DONE, S.ENDED, None),
    (RUNNING, {"requested": Request.PAUSE, **LOST}, ev.Rescue(), V.DONE, S.PAUSED, None),
    (INTERRUPTED, LOST, ev.Rescue(), V.PUBLISH, S.INTERRUPTED, 2 * LEASE),
    (WAITING, LOST, ev.Rescue(), V.PUBLISH, S.INTERRUPTED, 2 * LEASE),
    (FINISHING, LOST, ev.Rescue(), V.PUBLISH, S.FINISHING, 2 * LEASE),
    (INTERRUPTED, {}, MARK_UNROUTABLE, V.DONE, S.INTERRUPTED, LEASE),
    (INTERRUPTED, LOST, MARK_UNROUTABLE, V.DONE, S.INTERRUPTED, LEASE),
    (INTERRUPTED, {}, replace(MARK_UNROUTABLE, generation=2), V.REFUSED, None, None),
    (WAITING, {}, MARK_UNROUTABLE, V.DONE, S.RETRYING, LEASE),
    (RUNNING, {}, KILL, V.DONE, S.ENDED, None),
    (INTERRUPTED, {}, KILL, V.DONE, S.ENDED, None),
    (WAITING, {}, KILL, V.DONE, S.ENDED, None),
    (PAUSED, {}, KILL, V.DONE, S.ENDED, None),
    (FINISHING, {}, KILL, V.DONE, S.ENDED, None),
    (RUNNING, {}, ev.Cancel(), V.ASKED, S.RUNNING, 12.0),
    (RUNNING, {"requested": Request.PAUSE}, ev.Cancel(), V.ASKED, S.RUNNING, 12.0),
    (RUNNING, {"requested": Request.CANCEL}, ev.Cancel(), V.ASKED, None, None),
    (RUNNING, LOST, ev.Cancel(), V.DONE, S.ENDED, None),
    (INTERRUPTED, {}, ev.Cancel(), V.DONE, S.ENDED, None),
    (WAITING, {}, ev.Cancel(), V.DONE, S.ENDED, None),
    (PAUSED, {}, ev.Cancel(), V.DONE, S.ENDED, None),
    (RUNNING, {}, ev.Pause(), V.ASKED, S.RUNNING, 12.0),
    (RUNNING, {"requested": Request.CANCEL}, ev.Pause(), V.REFUSED, None, None),
    (RUNNING, LOST, ev.Pause(), V.DONE, S.PAUSED, None),
    (INTERRUPTED, {}, ev.Pause(), V.DONE, S.PAUSED, None),
    (WAITING, {}, ev.Pause(), V.DONE, S.PAUSED, None),
    (RUNNING, {}, ev.Resume(), V.REFUSED, None, None),
    (RUNNING, {"requested": Request.PAUSE}, ev.Resume(), V.DONE, S.RUNNING, 12.0),
    (PAUSED, {}, ev.Resume(), V.PUBLISH, S.INTERRUPTED, LEASE),
    (INTERRUPTED, {}, ev.Resend(), V.PUBLISH, S.INTERRUPTED, LEASE),
    (WAITING, {}, ev.Resend(), V.PUBLISH, S.INTERRUPTED, LEASE),
    (RUNNING, {}, NOTE_ADJUSTED, V.DONE, S.RUNNING, 12.0),
    (RUNNING, {"requested": Request.PAUSE}, NOTE_ADJUSTED, V.DONE, S.RUNNING, 12.0),
    (PAUSED, {}, RETRY, V.REFUSED, None, None),
    (PAUSED, {}, REWIND, V.PUBLISH, S.INTERRUPTED, LEASE),
    (PAUSED, {}, replace(REWIND, generation=2), V.REFUSED, None, None),
    (ENDED, {}, RETRY, V.PUBLISH, S.INTERRUPTED, LEASE),
    (ENDED, {"outcome": Outcome.CANCELLED}, RETRY, V.PUBLISH, S.INTERRUPTED, LEASE),
    (ENDED, {}, REWIND, V.PUBLISH, S.INTERRUPTED, LEASE),
    (ENDED, {}, replace(RETRY, generation=2), V.REFUSED, None, None),
    (ENDED, {"envelope": b""}, RETRY, V.REFUSED, None, None),
    (ENDED, COMPLETED, RETRY, V.REFUSED, None, None),
    (RUNNING, {}, ADJUST, V.ASKED, S.RUNNING, 12.0),
    (RUNNING, LOST, ADJUST, V.DONE, S.RUNNING, 0.0),
    (RUNNING, {"requested": Request.CANCEL}, ADJUST, V.REFUSED, None, None),
    (RUNNING, {}, replace(ADJUST, generation=2), V.REFUSED, None, None),
    (INTERRUPTED, {}, ADJUST, V.DONE, S.INTERRUPTED, 12.0),
    (INTERRUPTED, {}, MOVE, V.PUBLISH, S.INTERRUPTED, LEASE),
    (WAITING, {}, MOVE, V.DONE, S.RETRYING, 12.0),
    (PAUSED, {}, MOVE, V.DONE, S.PAUSED, None),
    (RUNNING, {}, ev.Evict(), V.PUBLISH, S.INTERRUPTED, LEASE),
    (RUNNING, {"requested": Request.PAUSE}, ev.Evict(), V.DONE, S.PAUSED, None),
    (RUNNING, {"requested": Request.CANCEL}, ev.Evict(), V.DONE, S.ENDED, None),
    (FINISHING, {}, ev.Evict(), V.PUBLISH, S.FINISHING, LEASE),
    (RUNNING, {}, ev.Replay(), V.DONE, S.RUNNING, 12.0),
    (INTERRUPTED, {}, ev.Replay(), V.DONE, S.INTERRUPTED, 12.0),
    (WAITING, {}, ev.Replay(), V.DONE, S.RETRYING, 12.0),
    (PAUSED, {}, ev.Replay(), V.DONE, S.PAUSED, None),
    (FINISHING, {}, ev.Replay(), V.DONE, S.FINISHING, 12.0),
    (ENDED, {}, ev.Replay(), V.DONE, S.ENDED, None),
    (ENDED, {}, ev.Forget(), V.DONE, S.ENDED, None),
    (ENDED, COMPLETED, ev.Forget(), V.DONE, S.ENDED, None),
]  # fmt: skip


def name(part: object) -> str:
    if part is None or isinstance(part, Record):
        return str(part and part.state)
    if isinstance(part, ev.Event.__args__):  # type: ignore[attr-defined]
        return type(part).__name__
    return str(part)


@pytest.mark.parametrize(("record", "but", "event", "verdict", "state", "due_in"), ROWS, ids=name)
def test_row(
    record: Record | None,
    but: dict[str, Any],
    event: ev.Event,
    verdict: Verdict,
    state: State | None,
    due_in: float | None,
) -> None:
    d = decide(replace(record, **but) if record else None, event, NOW, POLICY)
    assert (d.verdict, d.record and d.record.state, d.due_in) == (verdict, state, due_in)


def test_every_row_of_the_table_has_an_example() -> None:
    assert {(r and r.state, type(e)) for r, _, e, *_ in ROWS} == set(TABLE)
    assert {type(e) for e in SAMPLES} == set(get_args(ev.Event))
    assert set(RECORDS) == set(State)


PRODUCT = [(r, e) for r in (None, *RECORDS.values()) for e in SAMPLES]


@pytest.mark.parametrize(("record", "event"), PRODUCT, ids=name)
def test_any_state_and_any_event(record: Record | None, event: ev.Event) -> None:
    for due_at in (NOW - 1, NOW, NOW + 1):
        for requested in (None, *Request):
            changed = record and replace(record, requested=requested)
            if changed and changed.due_at is not None:
                changed = replace(changed, due_at=due_at)
            d = decide(changed, event, NOW, POLICY)
            if (record and record.state, type(event)) not in TABLE:
                no = Verdict.GONE if record is None else Verdict.REFUSED
                assert (d.verdict, d.record) == (no, None)
            _sound(changed, d)


def _sound(before: Record | None, d: Decision) -> None:
    """What holds for every decision."""
    after = d.record
    if after is None:
        assert d.verdict in (Verdict.DROP, Verdict.REFUSED, Verdict.ASKED, Verdict.GONE)
        assert d.why, "nothing is written, and nobody is told why"
        return
    assert d.verdict not in (Verdict.DROP, Verdict.REFUSED, Verdict.GONE)
    if before is not None:
        assert after.fence >= before.fence
        assert after.generation >= before.generation or not before.live
    rests = after.state in (State.PAUSED, State.ENDED)
    assert (d.due_in is None) == rests, "only a paused or ended run is never due"
    assert d.due_in is None or 0.0 <= d.due_in <= 50.0 + LEASE or after.republished
    assert (d.keep is None) == after.live
    if not after.live:
        assert (after.result, after.requested) == (None, None)
        if before is None or after.outcome is Outcome.COMPLETED:
            assert after.envelope == b""
        else:
            assert after.envelope == before.envelope, "to be run again from it"
        assert after.outcome is not None
    if after.state not in (State.RUNNING, State.FINISHING):
        assert after.owner is None
    if d.verdict is Verdict.PUBLISH:
        assert after.envelope
        assert before is None or after.generation >= before.generation


@pytest.mark.parametrize("fence", [FENCE - 1, FENCE + 1])
@pytest.mark.parametrize("event", [e for e in SAMPLES if hasattr(e, "fence")], ids=name)
@pytest.mark.parametrize("record", RECORDS.values(), ids=name)
def test_another_fence_is_refused(record: Record, event: Any, fence: int) -> None:
    d = decide(record, replace(event, fence=fence), NOW, POLICY)
    assert (d.verdict, d.record) == (Verdict.REFUSED, None)


@pytest.mark.parametrize("record", [RUNNING, INTERRUPTED, PAUSED], ids=name)
def test_the_checkpoint_of_an_owner_that_left_without_the_store(record: Record) -> None:
    """It is taken if nobody has had the run since, and never goes back."""
    wish = replace(record, requested=Request.PAUSE)
    taken = decide(wish, LEFT, NOW, POLICY).record
    assert taken is not None
    assert (taken.checkpoint, taken.steps, taken.requested) == ("six", 6, Request.PAUSE)
    for stale in (replace(LEFT, left=FENCE - 1), replace(LEFT, steps=record.steps - 1)):
        kept = decide(record, stale, NOW, POLICY).record or record
        assert (kept.checkpoint, kept.steps) == (record.checkpoint, record.steps)

"""What operators may do to a run: one rule for each verb, or for each state it differs in."""

from __future__ import annotations

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.executions import closed, to_be_continued
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.model.run.record import Outcome, Record, Request, State, replace
from celery_graceful.model.run.verdict import (
    LEASE_EXPIRED,
    Decision,
    Policy,
    Verdict,
    crashed,
    ended,
    paused,
    raised,
    refuse,
)

#: Why an event is refused that was made for another message of the run: it may be made anew.
CHANGED = "the run has changed meanwhile"


def cancel_running(record: Record, e: ev.Cancel, now: float, policy: Policy) -> Decision:
    if not record.leased(now):
        return cancel_pending(record, e, now, policy)
    if record.requested is Request.CANCEL:
        return Decision(Verdict.ASKED, "already asked")
    asked = replace(record, requested=Request.CANCEL)
    return Decision(Verdict.ASKED, "at its next checkpoint", asked, due_in=_left(record, now))


def cancel_pending(record: Record, e: ev.Cancel, now: float, policy: Policy) -> Decision:
    last = closed(record, now, LEASE_EXPIRED)  # with an owner, if its lease has expired
    fenced = replace(last, fence=record.fence + 1, reason=str(StopReason.CANCELLED))
    return ended(fenced, Outcome.CANCELLED, policy)


def pause_running(record: Record, e: ev.Pause, now: float, policy: Policy) -> Decision:
    if not record.leased(now):
        return paused(crashed(record, now))
    if record.requested is Request.CANCEL:
        return refuse("the run was asked to end")
    if record.requested is Request.PAUSE:
        return Decision(Verdict.ASKED, "already asked")
    asked = replace(record, requested=Request.PAUSE)
    return Decision(Verdict.ASKED, "at its next checkpoint", asked, due_in=_left(record, now))


def pause_pending(record: Record, e: ev.Pause, now: float, policy: Policy) -> Decision:
    return paused(record)


def resume_paused(record: Record, e: ev.Resume, now: float, policy: Policy) -> Decision:
    pending = replace(
        record,
        state=State.INTERRUPTED,
        generation=raised(record),
        republished=0,
        unroutable="",
    )
    return Decision(Verdict.PUBLISH, "resumed", pending, due_in=policy.lease_ttl)


def resume_running(record: Record, e: ev.Resume, now: float, policy: Policy) -> Decision:
    if record.requested is not Request.PAUSE:
        return refuse("the run is not paused")
    # An adjustment that the pause took the place of is still to be seen.
    requested = Request.ADJUST if record.adjusted else None
    back = replace(record, requested=requested)
    return Decision(Verdict.DONE, "pause withdrawn", back, due_in=_left(record, now))


def resend(record: Record, e: ev.Resend, now: float, policy: Policy) -> Decision:
    again = replace(
        record,
        state=State.INTERRUPTED,
        generation=raised(record),
        republished=0,
        unroutable="",
    )
    return Decision(Verdict.PUBLISH, "sent again", again, due_in=policy.lease_ttl)


def retry_ended(record: Record, e: ev.Retry, now: float, policy: Policy) -> Decision:
    if record.outcome is Outcome.COMPLETED:
        return refuse("the run has completed")
    if not record.envelope:
        return refuse("its message is not kept")
    return _again(to_be_continued(record), e, policy)


def retry_paused(record: Record, e: ev.Retry, now: float, policy: Policy) -> Decision:
    return _again(record, e, policy) if e.rewinds else refuse("the run is paused")


def _again(record: Record, e: ev.Retry, policy: Policy) -> Decision:
    if e.generation != record.generation:
        return refuse(CHANGED)
    if e.rewinds:
        record = _rewound(record, e.checkpoint)
    again = replace(
        record,
        state=State.INTERRUPTED,
        generation=raised(record),
        # Whoever had the run before may still be at work somewhere.
        fence=record.fence + 1,
        outcome=None,
        ended_first=0.0,
        requested=None,
        reason="retried",
        crashes=0,
        crash_steps=-1,
        stalls=0,
        republished=0,
        unroutable="",
        envelope=e.envelope,
    )
    return Decision(Verdict.PUBLISH, "sent again", again, due_in=policy.lease_ttl)


def _rewound(record: Record, checkpoint: str | None) -> Record:
    """The run with another checkpoint; without one it begins anew.

    The row that an atomic task keeps of it elsewhere is outdated from here on (see ``after``).
    """
    back = replace(record, checkpoint=checkpoint, after=record.fence)
    return back if checkpoint is not None else replace(back, steps=0, paused_at=0)


def adjust_running(record: Record, e: ev.Adjust, now: float, policy: Policy) -> Decision:
    if record.requested is Request.CANCEL:
        return refuse("the run was asked to end")
    if not record.leased(now):
        return _adjusted(record, e, now)
    asked = _adjusted(record, e, now)
    if asked.record is None:
        return asked
    noted = replace(asked.record, requested=record.requested or Request.ADJUST)
    return asked._replace(verdict=Verdict.ASKED, why="at its next checkpoint", record=noted)


def adjust_pending(record: Record, e: ev.Adjust, now: float, policy: Policy) -> Decision:
    done = _adjusted(record, e, now)
    if done.record is None or not e.moves or record.state is State.RETRYING:
        return done
    # Its message lies in the old queue, where it is dropped from here on.
    moved = replace(done.record, generation=raised(record), republished=0, unroutable="")
    return Decision(Verdict.PUBLISH, "sent by its new way", moved, due_in=policy.lease_ttl)


def adjust_paused(record: Record, e: ev.Adjust, now: float, policy: Policy) -> Decision:
    return _adjusted(record, e, now)._replace(due_in=None)


def _adjusted(record: Record, e: ev.Adjust, now: float) -> Decision:
    if e.generation != record.generation:
        return refuse(CHANGED)
    adjusted = replace(record, adjusted=e.adjusted, envelope=e.envelope)
    return Decision(Verdict.DONE, "at its next execution", adjusted, due_in=_left(record, now))


def evict_running(record: Record, e: ev.Evict, now: float, policy: Policy) -> Decision:
    taken = _evicted(record, now)
    if record.requested is Request.CANCEL:
        return ended(taken, Outcome.CANCELLED, policy)
    if record.requested is Request.PAUSE:
        return paused(taken)
    pending = replace(taken, state=State.INTERRUPTED, generation=raised(record), requested=None)
    return Decision(Verdict.PUBLISH, "released", pending, due_in=policy.lease_ttl)


def evict_finishing(record: Record, e: ev.Evict, now: float, policy: Policy) -> Decision:
    pending = replace(_evicted(record, now), generation=raised(record))
    return Decision(Verdict.PUBLISH, "released", pending, due_in=policy.lease_ttl)


def _evicted(record: Record, now: float) -> Record:
    """No crash is counted: that would add up to ``max_crashes``."""
    last = closed(record, now, "released")
    return replace(last, owner=None, fence=record.fence + 1, reason="released", republished=0)


def forget(record: Record, e: ev.Forget, now: float, policy: Policy) -> Decision:
    return Decision(Verdict.DONE, "deleted", replace(record, requested=None), keep=0.0)


def replay(record: Record, e: ev.Replay, now: float, policy: Policy) -> Decision:
    """Nothing of the run itself changes: its log says that its items are tried again."""
    if record.state is State.PAUSED:
        return Decision(Verdict.DONE, "replayed", record)
    if record.live:
        return Decision(Verdict.DONE, "replayed", record, due_in=_left(record, now))
    # It is forgotten when it was to be, and has ended when it did, although it is written now.
    at = now if record.ended_at is None else record.ended_at
    same = replace(record, requested=None, ended_first=record.ended_first or at)
    kept_for = record.kept_for or policy.run_retention
    return Decision(Verdict.DONE, "replayed", same, keep=max(0.0, at + kept_for - now))


def _left(record: Record, now: float) -> float:
    """What is left of its lease, or of its wait, in seconds."""
    return max(0.0, (record.due_at or now) - now)

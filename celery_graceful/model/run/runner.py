"""What the execution that owns a run may do to it, while its fence is valid."""

from __future__ import annotations

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.executions import closed, is_only, reopened
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.model.run.record import Outcome, Record, Request, State, replace
from celery_graceful.model.run.verdict import Decision, Policy, Verdict, ended, paused, raised


def hand_over(record: Record, e: ev.HandOver, now: float, policy: Policy) -> Decision:
    saved = replace(
        closed(record, e.at or now, e.reason, steps=e.steps),
        checkpoint=e.checkpoint,
        steps=e.steps,
        reason=e.reason,
        owner=None,
        stalls=e.stalls,
        seconds=record.seconds + e.took,
    )
    if record.requested is Request.CANCEL or e.reason == StopReason.CANCELLED:
        return ended(saved, Outcome.CANCELLED, policy)
    if e.pauses:
        return paused(replace(saved, paused_at=e.steps))
    if record.requested is Request.PAUSE:
        return paused(saved)
    generation = raised(record) if e.successor else record.generation
    pending = replace(saved, state=State.INTERRUPTED, generation=generation)
    return Decision(Verdict.PUBLISH, e.reason, pending, due_in=policy.lease_ttl)


def wait(record: Record, e: ev.Wait, now: float, policy: Policy) -> Decision:
    saved = replace(
        closed(record, e.at or now, e.reason, steps=e.steps),
        checkpoint=e.checkpoint,
        steps=e.steps,
        reason=e.reason,
        owner=None,
        error=e.error or record.error,
        seconds=record.seconds + e.took,
    )
    if record.requested is Request.CANCEL:
        return ended(saved, Outcome.CANCELLED, policy)
    if record.requested is Request.PAUSE:
        return paused(saved)
    waiting = replace(saved, state=State.RETRYING, generation=raised(record))
    return Decision(Verdict.PUBLISH, e.reason, waiting, due_in=e.delay + policy.lease_ttl)


def reclaim(record: Record, e: ev.Reclaim, now: float, policy: Policy) -> Decision:
    taken = replace(
        reopened(record), state=State.RUNNING, fence=record.fence + 1, owner=e.owner, republished=0
    )
    return Decision(Verdict.RESUME, "", taken, due_in=policy.lease_ttl)


def restore(record: None, e: ev.Restore, now: float, policy: Policy) -> Decision:
    """Write back what the owner holds.

    Fence and version are new: an owner from before it, if there is one, still holds the old ones.
    """
    fence = max(e.record.fence + 1, e.fresh_fence)
    back = replace(e.record, fence=fence, version=fence, unroutable="")
    return Decision(Verdict.DONE, "written back", back, due_in=policy.lease_ttl)


def finish(record: Record, e: ev.Finish, now: float, policy: Policy) -> Decision:
    done = replace(
        record,
        state=State.FINISHING,
        checkpoint=e.checkpoint,
        steps=e.steps,
        result=e.result,
        outcome=e.outcome,
        error=e.error or record.error,
    )
    return Decision(Verdict.DONE, "", done, due_in=policy.lease_ttl)


def end(record: Record, e: ev.End, now: float, policy: Policy) -> Decision:
    steps = record.steps if e.steps is None else e.steps
    only = is_only(record)
    return ended(
        record if only else closed(record, e.at or now, str(e.outcome), steps=steps),
        e.outcome,
        policy,
        worker=(record.owner or "") if only else "",
        checkpoint=record.checkpoint if e.checkpoint is None else e.checkpoint,
        steps=steps,
        error=e.error or record.error,
        seconds=record.seconds + e.took,
    )


def note_adjusted(record: Record, e: ev.NoteAdjusted, now: float, policy: Policy) -> Decision:
    requested = None if record.requested is Request.ADJUST else record.requested
    seen = replace(record, requested=requested)
    return Decision(Verdict.DONE, "", seen, due_in=max(0.0, (record.due_at or now) - now))

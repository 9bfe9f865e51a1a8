"""May this message continue the run? One rule for each state."""

from __future__ import annotations

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.executions import closed
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.model.run.record import MOST_GENERATIONS, Record, Request, State, replace
from celery_graceful.model.run.verdict import Decision, Policy, Verdict, crashed, drop, raised

#: Copied, which takes less than half as long as making one.
_NEW = Record(State.RUNNING)


def enqueue(record: None, e: ev.Enqueue, now: float, policy: Policy) -> Decision:
    """Written before its message is sent, which a rescuer does if the sender cannot."""
    queued = replace(
        _NEW,
        state=State.INTERRUPTED,
        # Not 0: after the end, a late duplicate would look like a fresh message of a re-used id.
        generation=1,
        fence=e.fresh_fence,
        version=e.fresh_fence,
        resumptions=-1,
        started_at=e.at,
        envelope=e.envelope,
        options=e.options,
        checkpoint=e.checkpoint,
        steps=e.steps,
        paused_at=e.paused_at,
    )
    return Decision(Verdict.PUBLISH, "queued", queued, due_in=policy.lease_ttl)


def start(record: Record | None, m: ev.Admit, now: float, policy: Policy) -> Decision:
    if record is None and m.deleted:
        return drop("the run was deleted")
    fresh = replace(
        _NEW,
        generation=min(m.generation, MOST_GENERATIONS),
        # Kept rising over a re-used id, so that a stalled runner of the ended run stays fenced.
        fence=m.fresh_fence if record is None else max(record.fence + 1, m.fresh_fence),
        after=0 if record is None else record.fence,
        version=m.fresh_fence,
        owner=m.owner,
        process=m.process,
        trace=m.trace,
        checkpoint=m.checkpoint,
        envelope=m.envelope,
        resumptions=0 if m.checkpoint is None else 1,
        started_at=m.at,
        options=m.options,
    )
    verdict = Verdict.START if m.checkpoint is None else Verdict.RESUME
    if record is None and m.left_out:
        verdict = Verdict.LOST
    return Decision(verdict, "", fresh, due_in=policy.lease_ttl)


def _take(record: Record, m: ev.Admit, now: float, policy: Policy, verdict: Verdict) -> Decision:
    taken = replace(
        closed(record, now, "its successor was admitted"),
        generation=min(max(record.generation, m.generation), MOST_GENERATIONS),
        fence=record.fence + 1,
        owner=m.owner,
        began=m.at,
        process=m.process,
        trace=m.trace,
        execution_steps=record.steps,
        republished=0,
        unroutable="",
        # The execution that begins here sees what was adjusted.
        requested=None if record.requested is Request.ADJUST else record.requested,
        envelope=m.envelope or record.envelope,
    )
    return Decision(verdict, "", taken, due_in=policy.lease_ttl)


def admit_ended(record: Record, m: ev.Admit, now: float, policy: Policy) -> Decision:
    if m.redelivered or m.generation > 0:
        return drop(f"the run has ended ({record.outcome})")
    if record.end is not None and now - m.waited <= record.end:
        # The first delivery, held by a worker that stalled while a second one was executed.
        return drop(f"the run has ended ({record.outcome}) since this message was received")
    if m.at and m.at == record.started_at:
        # This very admission began it, which nobody could say, and it was ended since.
        return drop(f"the run has ended meanwhile ({record.outcome})")
    decision = start(record, m, now, policy)
    assert decision.record is not None
    # Above all that was published under this id before: a late duplicate must not take it over.
    anew = replace(decision.record, generation=raised(record))
    return Decision(decision.verdict, decision.why, anew, due_in=decision.due_in)


def admit_paused(record: Record, m: ev.Admit, now: float, policy: Policy) -> Decision:
    known = _as_left(record, m, now)
    return Decision(Verdict.DROP, "the run is paused", None if known is record else known)


def admit_pending(record: Record, m: ev.Admit, now: float, policy: Policy) -> Decision:
    if m.generation < record.generation:
        return drop(_older(record, m))
    if _is_far_ahead(record, m, now):
        return drop(_far_ahead(record, m))
    known = _as_left(record, m, now)
    resumed = replace(known, state=State.RUNNING, resumptions=record.resumptions + 1)
    return _take(resumed, m, now, policy, _resume_or_give_up(resumed, policy))


def admit_running(record: Record, m: ev.Admit, now: float, policy: Policy) -> Decision:
    if m.generation < record.generation:
        return drop(_older(record, m))
    if _is_far_ahead(record, m, now):
        return drop(_far_ahead(record, m))
    if m.left is not None and m.left < record.fence:
        return drop(f"another execution has begun since its sender left (fence {m.left})")
    record = _as_left(record, m, now)
    if m.generation == record.generation and _is_held(record, m, now):
        return drop(f"{record.owner} owns it")
    if m.generation == record.generation:
        record = crashed(record, now)
    resumed = replace(record, resumptions=record.resumptions + 1)
    return _take(resumed, m, now, policy, _resume_or_give_up(resumed, policy))


def admit_finishing(record: Record, m: ev.Admit, now: float, policy: Policy) -> Decision:
    if m.generation < record.generation:
        return drop(_older(record, m))
    if _is_far_ahead(record, m, now):
        return drop(_far_ahead(record, m))
    if m.generation == record.generation and _is_held(record, m, now):
        return drop(f"{record.owner} is storing its outcome")
    record = crashed(record, now)
    given_up = _resume_or_give_up(record, policy) is Verdict.GIVE_UP
    return _take(record, m, now, policy, Verdict.GIVE_UP if given_up else Verdict.RETURN_SAVED)


def _as_left(record: Record, m: ev.Admit, now: float) -> Record:
    """The record as its owner would have saved it, had the store been there when it left.

    The fence says that nobody has had the run since. What an operator asked for stays asked.
    """
    if m.left != record.fence or m.checkpoint is None or m.steps < record.steps:
        return record
    reason = str(StopReason.STORE_UNAVAILABLE)
    return replace(
        closed(record, now - m.waited, reason, steps=m.steps),
        checkpoint=m.checkpoint,
        steps=m.steps,
        owner=None,
        reason=reason,
    )


def _is_held(record: Record, m: ev.Admit, now: float) -> bool:
    """Whether a duplicate message may not take the run from its owner.

    An expired lease says little here: the store may have been away, and its owner waits for it.
    Only a rescuer knows, who acts when the store was within reach for a whole lease, or the worker
    that saw its process die; unless nobody could rescue it.
    """
    if record.owner is None:
        return False
    return record.leased(now) or not (m.takes_over or record.envelope == b"")


def _is_far_ahead(record: Record, m: ev.Admit, now: float) -> bool:
    """Whether the message claims more than the run can have become since its record was written.

    A generation is in the record before a message has it, so one ahead is the most that a record
    of a moment ago explains, in a store that has lost its last write. Whoever wrote a higher one
    must not take the run from its owner, nor from the message that is on its way. Once the run is
    overdue it is admitted: a store may have lost more than that.
    """
    waits = record.due_at is not None and now < record.due_at
    return waits and m.generation > record.generation + 1


def _far_ahead(record: Record, m: ev.Admit) -> str:
    return f"generation {m.generation} cannot follow {record.generation}, the run's own"


def _older(record: Record, m: ev.Admit) -> str:
    return f"generation {m.generation} was superseded by {record.generation}"


def _resume_or_give_up(record: Record, policy: Policy) -> Verdict:
    # An execution that was taken for lost may have come back and got further (see ``reclaim``).
    stuck = record.steps <= record.crash_steps
    given_up = stuck and 0 < policy.max_crashes <= record.crashes
    return Verdict.GIVE_UP if given_up else Verdict.RESUME

"""What others may do to a run: the worker's main process, a rescuer."""

from __future__ import annotations

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.executions import closed
from celery_graceful.model.run.history import RunError, error_text
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.model.run.record import Outcome, Record, Request, State, replace
from celery_graceful.model.run.verdict import (
    LEASE_EXPIRED,
    Decision,
    Policy,
    Verdict,
    crashed,
    ended,
    gone,
    paused,
    raised,
    refuse,
)

#: A pending message is published again after 1, 2, 4 … leases, up to this many.
MOST_LEASES = 64


def kill(record: Record, e: ev.Kill, now: float, policy: Policy) -> Decision:
    if e.generation is not None and e.generation != record.generation:
        return refuse(f"generation {e.generation} was superseded by {record.generation}")
    # The fence rises: the process that ran the run may live a moment longer.
    last = closed(record, now, e.reason)
    if e.outcome is Outcome.FAILED:
        last = replace(last, error=error_text(RunError("ended by the worker", e.reason)))
    fenced = replace(last, fence=record.fence + 1, reason=e.reason)
    return ended(fenced, e.outcome, policy)


def kill_unknown(record: None, e: ev.Kill, now: float, policy: Policy) -> Decision:
    """The record vanished while the delivery ran: its process must not write it back."""
    if e.generation is None:  # a message that no worker has admitted
        return gone("the store has no record of this run")
    stub = Record(State.ENDED, generation=e.generation, fence=1, reason=e.reason)
    return ended(stub, e.outcome, policy)


def release(record: Record, e: ev.Release, now: float, policy: Policy) -> Decision:
    if record.owner != e.owner or record.generation != e.generation:
        return refuse(f"generation {e.generation} is not owned by {e.owner}")
    left = closed(record, now, str(StopReason.STORE_UNAVAILABLE))
    lost = crashed(record, now, e.how) if e.crashed else replace(left, owner=None)
    # The broker brings the message back at once; should it not, a rescuer does after a lease.
    due_in = 0.0 if e.late else policy.lease_ttl
    return Decision(Verdict.DONE, "released", lost, due_in=due_in)


def rescue(record: Record, e: ev.Rescue, now: float, policy: Policy) -> Decision:
    if record.due_at is None or now < record.due_at:
        return refuse("the run is not overdue")
    if record.state is State.RUNNING:
        if record.requested is Request.CANCEL:
            fenced = replace(closed(record, now, LEASE_EXPIRED), fence=record.fence + 1)
            return ended(fenced, Outcome.CANCELLED, policy)
        if record.requested is Request.PAUSE:
            return paused(crashed(record, now))
        taken = replace(
            crashed(record, now),
            state=State.INTERRUPTED,
            generation=raised(record),
            reason=str(StopReason.LEASE_LOST),
        )
        return Decision(Verdict.PUBLISH, "lease_lost", taken, due_in=policy.lease_ttl)
    leases = 2 ** min(record.republished + 1, MOST_LEASES.bit_length() - 1)
    again = replace(
        crashed(record, now),
        # Not 0: after the end, that would look like a fresh message of a re-used id. And not one
        # more each time: where queues are long, no message would live to be admitted.
        generation=max(1, record.generation),
        owner=None,
        republished=record.republished + 1,
    )
    if record.state is State.RETRYING:
        again = replace(again, state=State.INTERRUPTED)
    return Decision(Verdict.PUBLISH, "not_admitted", again, due_in=leases * policy.lease_ttl)


def mark_unroutable(record: Record, e: ev.MarkUnroutable, now: float, policy: Policy) -> Decision:
    if e.generation != record.generation:
        return refuse(f"generation {e.generation} was superseded by {record.generation}")
    # It is known that no message lingers in a long queue, so there is no reason to wait ever
    # longer: queues and workers come back.
    noted = replace(record, unroutable=e.why, republished=0)
    left = (record.due_at or now) - now  # a retry may have to wait longer
    due_in = max(policy.lease_ttl, left) if record.state is State.RETRYING else policy.lease_ttl
    return Decision(Verdict.DONE, "unroutable", noted, due_in=due_in)

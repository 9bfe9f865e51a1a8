"""What a decision is made of, and the moves that several rules share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from celery_graceful.model.run.executions import closed
from celery_graceful.model.run.record import MOST_GENERATIONS, Outcome, Record, State, replace


class Verdict(str, Enum):
    """What the one who asked has to do now."""

    START = "start"
    RESUME = "resume"
    RETURN_SAVED = "return_saved"
    GIVE_UP = "give_up"
    DROP = "drop"
    PUBLISH = "publish"
    DONE = "done"
    ASKED = "asked"
    REFUSED = "refused"
    #: There is no record of the run: it never began, was forgotten after its end, or vanished.
    GONE = "gone"
    #: The run begins without the checkpoint that it had: its record vanished.
    LOST = "lost"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decisions depend on; times in seconds."""

    lease_ttl: float = 30.0
    max_crashes: int = 3
    run_retention: float = 7 * 86400.0


class Decision(NamedTuple):
    """A verdict, why, and the record to write (``None``: write nothing)."""

    verdict: Verdict
    why: str = ""
    record: Record | None = None
    due_in: float | None = None
    keep: float | None = None


def refuse(why: str) -> Decision:
    return Decision(Verdict.REFUSED, why)


def gone(why: str) -> Decision:
    return Decision(Verdict.GONE, why)


def drop(why: str) -> Decision:
    return Decision(Verdict.DROP, why)


def raised(record: Record) -> int:
    """The generation after the record's; the highest stays, since no worker takes a higher one."""
    return min(record.generation + 1, MOST_GENERATIONS)


#: How an execution was lost that nobody saw end.
LEASE_EXPIRED = "its lease expired"


def crashed(record: Record, now: float, how: str = LEASE_EXPIRED) -> Record:
    """Count a lost execution; one that got further than the last lost one starts the count anew."""
    if record.owner is None:  # counted when the lease was released
        return record
    further = record.steps > record.crash_steps
    return replace(
        closed(record, now, how),
        owner=None,
        crashes=1 if further else record.crashes + 1,
        crash_steps=record.steps,
        last_crash=how,
    )


def ended(record: Record, outcome: Outcome, policy: Policy, **changes: Any) -> Decision:
    """The end. One that failed or was cancelled keeps its message: it may be run again from it."""
    summary = replace(
        record,
        state=State.ENDED,
        outcome=outcome,
        owner=None,
        requested=None,
        result=None,
        unroutable="",
        envelope=b"" if outcome is Outcome.COMPLETED else record.envelope,
        **changes,
    )
    return Decision(Verdict.DONE, outcome.value, summary, keep=policy.run_retention)


def paused(record: Record) -> Decision:
    taken_out = replace(
        record,
        state=State.PAUSED,
        generation=raised(record),
        requested=None,
        unroutable="",
        owner=None,
    )
    return Decision(Verdict.DONE, "paused", taken_out)

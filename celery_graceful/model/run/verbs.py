"""What operators may do to a run: one table of (verb, case), for the API, commands and screens.

The rules themselves are those of :mod:`.decide`; a test compares the two. Here it says why not, and
which verb undoes a change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from celery_graceful.model.run.record import Record, Request, State

#: The state of a run that was sent by ``graceful.runs.start`` and that no worker has begun yet.
QUEUED = "queued"


class Verb(str, Enum):
    """What an operator does to a run."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"
    #: ``retry`` from a cursor.
    REWIND = "rewind"
    FORK = "fork"
    ADJUST = "adjust"
    RELEASE = "release"
    RESEND = "resend"
    REPLAY = "replay"
    DELETE = "delete"

    def __str__(self) -> str:
        return self.value


#: What each verb does, in one line for menus and help.
DOES: Mapping[Verb, str] = {
    Verb.PAUSE: "Stop the run until it is resumed",
    Verb.RESUME: "Put the paused run back in its queue, or withdraw a pause",
    Verb.CANCEL: "End the run",
    Verb.RETRY: "Continue the ended run at its checkpoint",
    Verb.REWIND: "Continue the run from another cursor",
    Verb.FORK: "Start a new run from this one's checkpoint, or from a cursor",
    Verb.ADJUST: "Change the run's checkpoint interval, batch size, queue or priority",
    Verb.RELEASE: "Take the run from a worker that is stuck, and send it to another",
    Verb.RESEND: "Send the run's message again",
    Verb.REPLAY: "Try the run's quarantined items again",
    Verb.DELETE: "Forget the run and its quarantined items",
}
#: Verbs that nothing undoes, or that may repeat work: a person is asked first.
ASKS = frozenset({Verb.DELETE, Verb.RELEASE, Verb.REWIND})


class Case(str, Enum):
    """Where a run stands, as far as verbs tell it apart: its state, and what it was asked."""

    QUEUED = QUEUED
    RUNNING = "running"
    #: Running, and asked to pause or to end at its next checkpoint.
    PAUSING = "pausing"
    CANCELLING = "cancelling"
    INTERRUPTED = "interrupted"
    RETRYING = "retrying"
    PAUSED = "paused"
    FINISHING = "finishing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Rule:
    """Whether a verb applies in a case."""

    #: Why not, as a sentence; empty: it applies.
    why_not: str = ""
    #: The verb that undoes the change, if one does.
    undo: Verb | None = None

    @property
    def legal(self) -> bool:
        """Whether the verb applies."""
        return not self.why_not


def public_state(record: Record) -> str:
    """The state as people read it: an ended run is named by its outcome."""
    if record.state is State.ENDED and record.outcome is not None:
        return str(record.outcome)
    if record.state is State.INTERRUPTED and record.queued:
        return QUEUED
    return str(record.state)


def case_of(state: str, requested: str | None = None) -> Case:
    """The case of a run in this public state, which may have been asked to pause or end."""
    if state == State.RUNNING and requested == Request.PAUSE:
        return Case.PAUSING
    if state == State.RUNNING and requested == Request.CANCEL:
        return Case.CANCELLING
    return Case(state)


def rule_for(
    verb: Verb | str,
    state: str,
    requested: str | None = None,
    *,
    quarantined: int = 0,
    has_message: bool = True,
) -> Rule:
    """Whether a verb applies to a run.

    Args:
        verb: the verb.
        state: the run's public state.
        requested: what it was asked: ``pause``, ``cancel`` or nothing.
        quarantined: how many items it has quarantined.
        has_message: whether its message is kept.

    Raises:
        ValueError: there is no such verb or state.
    """
    verb = Verb(verb)
    rule = VERBS[verb, case_of(state, requested)]
    if not rule.legal:
        return rule
    if verb is Verb.REPLAY and not quarantined:
        return Rule("It has no quarantined items.")
    if verb in _PUBLISHING and not has_message:
        return Rule("Its message is not kept, so it cannot be sent again. Start a new run.")
    return rule


_PUBLISHING = (Verb.RETRY, Verb.REWIND, Verb.FORK)
_PENDING = (Case.QUEUED, Case.INTERRUPTED, Case.RETRYING)
_OWNED = (Case.RUNNING, Case.PAUSING, Case.CANCELLING)
_ENDED = (Case.COMPLETED, Case.FAILED, Case.CANCELLED)
#: Why most verbs do not apply; a verb may have a better reason in :data:`_WHY_NOT`.
_REASONS: Mapping[Case, str] = {
    Case.QUEUED: "Its message is on its way to a worker.",
    Case.RUNNING: "A worker runs it.",
    Case.PAUSING: "It was asked to pause, and stops at its next checkpoint. If its worker is stuck,"
    " release it.",
    Case.CANCELLING: "It was asked to end, and stops at its next checkpoint. If its worker is"
    " stuck, release it.",
    Case.INTERRUPTED: "Its message is on its way to a worker.",
    Case.RETRYING: "It waits for its next attempt. Resend it to try now.",
    Case.PAUSED: "It is paused. Resume or cancel it.",
    Case.FINISHING: "Its work is done and its outcome is being stored. If its worker is stuck,"
    " release it.",
    Case.COMPLETED: "It has completed. Start a new run of the task.",
    Case.FAILED: "It has failed. Retry it, or fork it.",
    Case.CANCELLED: "It was cancelled. Retry it, or fork it.",
}
_NOT_PAUSED = "It is not paused."
_NOT_ENDED = "It has not ended. Pause it, and retry it from a cursor; or fork it."
_NO_OWNER = "No worker owns it."
_LIVE = "It has not ended. Cancel it first."
_WHY_NOT: Mapping[tuple[Verb, Case], str] = {
    **{(Verb.RESUME, case): f"{_NOT_PAUSED} {_REASONS[case]}" for case in (*_PENDING, *_OWNED)},
    **{(Verb.RETRY, case): _NOT_ENDED for case in (*_PENDING, *_OWNED)},
    **{(Verb.REWIND, case): "Pause or cancel it first." for case in (*_PENDING, *_OWNED)},
    **{(Verb.RELEASE, case): f"{_NO_OWNER} {_REASONS[case]}" for case in (*_PENDING, Case.PAUSED)},
    **{(Verb.DELETE, case): _LIVE for case in (*_PENDING, *_OWNED)},
    (Verb.RETRY, Case.PAUSED): "It is paused. Resume it, or retry it from a cursor.",
    (Verb.RESEND, Case.RUNNING): "A worker runs it; if that worker dies, another one resumes it"
    " without help. Release it if it is stuck.",
    (Verb.FORK, Case.COMPLETED): "It has completed, and its message is not kept. Start a new run of"
    " the task.",
    (Verb.ADJUST, Case.FAILED): "It has failed. Retry it, and adjust it then.",
    (Verb.ADJUST, Case.CANCELLED): "It was cancelled. Retry it, and adjust it then.",
}

#: Where each verb applies, and what undoes it.
_APPLIES: Mapping[Verb, tuple[tuple[Case, ...], Verb | None]] = {
    # Asked twice is asked once.
    Verb.PAUSE: ((*_PENDING, Case.RUNNING, Case.PAUSING), Verb.RESUME),
    Verb.RESUME: ((Case.PAUSED, Case.PAUSING), Verb.PAUSE),
    Verb.CANCEL: ((*_PENDING, *_OWNED, Case.PAUSED), Verb.RETRY),
    Verb.RETRY: ((Case.FAILED, Case.CANCELLED), Verb.CANCEL),
    # Then to the cursor where it was.
    Verb.REWIND: ((Case.PAUSED, Case.FAILED, Case.CANCELLED), Verb.PAUSE),
    # Of the new run.
    Verb.FORK: (tuple(case for case in Case if case is not Case.COMPLETED), Verb.CANCEL),
    Verb.ADJUST: ((*_PENDING, Case.RUNNING, Case.PAUSING, Case.PAUSED), Verb.ADJUST),
    Verb.RELEASE: ((*_OWNED, Case.FINISHING), None),
    Verb.RESEND: (_PENDING, Verb.PAUSE),
    Verb.REPLAY: (tuple(Case), None),
    Verb.DELETE: ((*_ENDED, Case.PAUSED), None),
}


def _rules() -> Iterator[tuple[tuple[Verb, Case], Rule]]:
    for verb, (cases, undo) in _APPLIES.items():
        for case in Case:
            if case in cases:
                yield (verb, case), Rule(undo=undo)
            else:
                yield (verb, case), Rule(_WHY_NOT.get((verb, case), _REASONS[case]))


#: Every verb in every case.
VERBS: Mapping[tuple[Verb, Case], Rule] = dict(_rules())

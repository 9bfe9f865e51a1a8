"""The verbs as buttons: those that apply to a run, and why the others do not."""

from __future__ import annotations

from dataclasses import dataclass

from celery_graceful.model.run.verbs import DOES, Verb, rule_for
from celery_graceful.runs.plain_run import Run

#: What is on the buttons.
LABELS = {
    Verb.PAUSE: "Pause",
    Verb.RESUME: "Resume",
    Verb.CANCEL: "Cancel",
    Verb.RETRY: "Retry",
    Verb.REWIND: "Rewind",
    Verb.FORK: "Fork",
    Verb.ADJUST: "Adjust",
    Verb.RELEASE: "Release",
    Verb.RESEND: "Send again",
    Verb.REPLAY: "Replay items",
    Verb.DELETE: "Delete",
}
#: They need more than a reason: their forms are opened first.
ASKING = (Verb.REWIND, Verb.FORK, Verb.ADJUST, Verb.RELEASE, Verb.DELETE, Verb.CANCEL)
DANGER = frozenset({Verb.CANCEL, Verb.DELETE, Verb.RELEASE})
#: What they do to the run depends on the state it has by then: a stale form is refused.
BY_STATE = frozenset({Verb.RETRY, Verb.REWIND, Verb.FORK, Verb.RELEASE, Verb.DELETE})
#: For several runs at once.
BULK = (Verb.PAUSE, Verb.RESUME, Verb.RETRY, Verb.RESEND, Verb.CANCEL, Verb.DELETE)


@dataclass(frozen=True, slots=True)
class ShownVerb:
    """One verb on a run's page."""

    name: str
    label: str
    does: str
    #: Why it cannot be used; empty: it can.
    why_not: str
    asks: bool
    danger: bool


def shown_verbs(run: Run, why_nothing: str) -> list[ShownVerb]:
    """All verbs, those that apply first.

    Args:
        run: the run.
        why_nothing: why the user may change nothing; empty: they may.
    """
    verbs = [_shown(verb, run, why_nothing) for verb in LABELS]
    return sorted(verbs, key=lambda verb: bool(verb.why_not))


def _shown(verb: Verb, run: Run, why_nothing: str) -> ShownVerb:
    why_not = why_nothing or _why_not(verb, run)
    return ShownVerb(str(verb), LABELS[verb], DOES[verb], why_not, verb in ASKING, verb in DANGER)


def _why_not(verb: Verb, run: Run) -> str:
    has_message = run.queue is not None or not run.ended
    try:
        rule = rule_for(
            verb,
            run.state,
            run.requested,
            quarantined=run.quarantined,
            has_message=has_message,
        )
    except ValueError:  # a state that a later version added
        return f"The run is {run.state}, which this version does not know."
    return rule.why_not

"""What operators may do in which state: the table of verbs says what the rules do."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.decide import decide
from celery_graceful.model.run.record import Outcome, Record, Request, State, replace
from celery_graceful.model.run.verbs import (
    ASKS,
    DOES,
    VERBS,
    Case,
    Verb,
    case_of,
    public_state,
    rule_for,
)
from celery_graceful.model.run.verdict import Policy, Verdict

NOW = 100.0
RUNNING = Record(
    State.RUNNING, generation=3, fence=5, owner="w0", due_at=NOW + 9, steps=4, envelope=b"message"
)
PENDING = replace(RUNNING, state=State.INTERRUPTED, owner=None)
ENDED = replace(PENDING, state=State.ENDED, due_at=None, ended_at=NOW - 1, kept_for=600.0)
#: A record of every case.
RECORDS: dict[Case, Record] = {
    Case.QUEUED: replace(PENDING, resumptions=-1),
    Case.RUNNING: RUNNING,
    Case.PAUSING: replace(RUNNING, requested=Request.PAUSE),
    Case.CANCELLING: replace(RUNNING, requested=Request.CANCEL),
    Case.INTERRUPTED: PENDING,
    Case.RETRYING: replace(PENDING, state=State.RETRYING),
    Case.PAUSED: replace(PENDING, state=State.PAUSED, due_at=None),
    Case.FINISHING: replace(RUNNING, state=State.FINISHING, outcome=Outcome.COMPLETED, result="r"),
    Case.COMPLETED: replace(ENDED, outcome=Outcome.COMPLETED, envelope=b""),
    Case.FAILED: replace(ENDED, outcome=Outcome.FAILED),
    Case.CANCELLED: replace(ENDED, outcome=Outcome.CANCELLED),
}
#: The event of each verb that is one.
EVENTS: dict[Verb, ev.Event] = {
    Verb.PAUSE: ev.Pause(),
    Verb.RESUME: ev.Resume(),
    Verb.CANCEL: ev.Cancel(),
    Verb.RETRY: ev.Retry(3, b"message"),
    Verb.REWIND: ev.Retry(3, b"message", rewinds=True, checkpoint="two"),
    Verb.ADJUST: ev.Adjust(3, '{"batch_size":5}', b"message"),
    Verb.RELEASE: ev.Evict(),
    Verb.RESEND: ev.Resend(),
    Verb.REPLAY: ev.Replay(),
}
EVERY = list(product(Verb, Case))


def asked(record: Record) -> str | None:
    return None if record.requested is None else str(record.requested)


def test_the_table_is_whole() -> None:
    assert set(VERBS) == set(EVERY)
    assert set(DOES) == set(Verb)
    assert set(Verb) > ASKS
    assert {case_of(public_state(r), asked(r)): r for r in RECORDS.values()} == RECORDS


@pytest.mark.parametrize(("verb", "case"), [pair for pair in EVERY if pair[0] in EVENTS])
def test_the_table_says_what_the_rules_do(verb: Verb, case: Case) -> None:
    decision = decide(RECORDS[case], EVENTS[verb], NOW, Policy())
    refused = decision.verdict is Verdict.REFUSED
    assert refused is not VERBS[verb, case].legal, decision
    assert (decision.record is None) is (refused or decision.why == "already asked")


@pytest.mark.parametrize(("verb", "case"), EVERY)
def test_each_refusal_is_a_sentence(verb: Verb, case: Case) -> None:
    rule = VERBS[verb, case]
    assert rule.legal or (rule.why_not[0].isupper() and rule.why_not.endswith("."))
    assert rule.legal or rule.undo is None


@pytest.mark.parametrize(("verb", "case"), EVERY)
def test_what_undoes_a_change_applies_after_it(verb: Verb, case: Case) -> None:
    undo = VERBS[verb, case].undo
    if undo is None or verb is Verb.FORK:  # of the new run
        return
    if (verb, case) == (Verb.CANCEL, Case.RUNNING) or case in (Case.PAUSING, Case.CANCELLING):
        return  # once its worker has obeyed
    after = decide(RECORDS[case], EVENTS[verb], NOW, Policy()).record or RECORDS[case]
    assert VERBS[undo, case_of(public_state(after), asked(after))].legal


@pytest.mark.parametrize(
    ("verb", "given", "why_not"),
    [
        ("replay", {}, "It has no quarantined items."),
        ("replay", {"quarantined": 2}, ""),
        ("retry", {"has_message": False}, "Its message is not kept, so it cannot be sent again."),
        ("pause", {"quarantined": 2}, "It has failed."),
    ],
)
def test_some_verbs_ask_for_more_than_a_state(
    verb: str, given: dict[str, Any], why_not: str
) -> None:
    rule = rule_for(verb, "failed", **given)
    assert rule.why_not.startswith(why_not)
    assert rule.legal is not bool(why_not)


def test_an_unknown_verb() -> None:
    with pytest.raises(ValueError, match="'explode' is not a valid Verb"):
        rule_for("explode", "running")

"""A change that an operator makes of one run, and what follows from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kombu.exceptions import OperationalError

from celery_graceful._celery.message.envelope import unpack
from celery_graceful.errors import NotSent, PublishUncertain, RunRefused
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.history import Action
from celery_graceful.model.run.operators import CHANGED
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.model.run.verbs import Rule, Verb, public_state, rule_for
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.runs.lookup import Found
from celery_graceful.runs.operating.adjusting import adjust_event, before_adjusting
from celery_graceful.runs.operating.result_states import store_retry, store_revoked
from celery_graceful.runs.operating.retrying import retry_event, rewind_event
from celery_graceful.runs.plain_run import Run, run_of
from celery_graceful.runs.successors import publish_record
from celery_graceful.runs.transition import Transition, transition
from celery_graceful.runtime import Runtime
from celery_graceful.text.masking import mask_text, mask_url

#: Makes the event of a verb: of the run as it was read, who asks, and the state it should have.
Maker = Callable[..., ev.Event]
#: How often an event is made anew that was made for a run that has changed since.
_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """What an operator asks for."""

    verb: Verb
    #: The operator.
    who: str
    #: Why, for people.
    reason: str = ""
    #: Refuse if the run is in another state by then; empty: whatever its state.
    expected_state: str = ""
    #: Those of the verb.
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def action(self) -> Action:
        """As the run's log has it."""
        return Action(time.time(), self.who, str(self.verb), self.reason)


@dataclass(frozen=True, slots=True)
class Change:
    """What came of a change."""

    #: The run before and after.
    before: Run
    run: Run
    #: ``done``; ``publish``: a message was sent; ``asked``: its worker does it.
    verdict: Verdict
    why: str
    #: What did not work beside the change itself; empty when all did.
    trouble: str = ""
    #: The verb that undoes it, and with which arguments; ``None``: nothing does.
    undo: Verb | None = None
    undo_arguments: Mapping[str, Any] = field(default_factory=dict)
    #: The id of what was sent beside the run: a fork, or the task of a replay.
    sent: str | None = None
    #: How many items a replay tries again; at least so many, if it is :data:`.MOST_COUNTED`.
    items: int | None = None
    #: What a person should know, such as what may be repeated; empty: nothing.
    note: str = ""


def _plain(kind: Callable[..., ev.Event]) -> Maker:
    def make(runtime: Runtime, found: Found, by: Action, expected: str) -> ev.Event:
        return kind(by=by, expected=expected)

    return make


#: The verbs that are an event of the run itself.
EVENTS: Mapping[Verb, Maker] = {
    Verb.PAUSE: _plain(ev.Pause),
    Verb.RESUME: _plain(ev.Resume),
    Verb.CANCEL: _plain(ev.Cancel),
    Verb.RETRY: retry_event,
    Verb.REWIND: rewind_event,
    Verb.ADJUST: adjust_event,
    Verb.RELEASE: _plain(ev.Evict),
    Verb.RESEND: _plain(ev.Resend),
}
_PUBLISHES = frozenset(EVENTS) - {Verb.PAUSE, Verb.CANCEL}


def apply(runtime: Runtime, found: Found, asked: Asked) -> Change:
    """Do to a run what an operator asks, and what follows from it.

    Raises:
        RunRefused: its state does not allow it, or it belongs to another broker.
        NotSent: the broker did not accept its message; a worker retries.
    """
    for _ in range(_ROUNDS):
        done = _try(runtime, found, asked)
        if done.decision.why != CHANGED:
            return _follow_up(runtime, found, asked, done)
        found = again(runtime, found)
    raise RunRefused(f"{found.key} changes all the time. Look at it again.")


def again(runtime: Runtime, found: Found) -> Found:
    """The run as it is now.

    Raises:
        RunRefused: its record is gone.
    """
    at = runtime.store.load(found.key)
    if at.record is None:
        raise RunRefused(f"{found.key} is no longer known: it ended and was forgotten, or deleted.")
    return Found(found.key, at.record, at.now)


def check(found: Found, asked: Asked) -> Rule:
    """The rule for what is asked.

    Raises:
        RunRefused: it does not apply to the run as it is.
    """
    key, record, _ = found
    state = public_state(record)
    if asked.expected_state and asked.expected_state != state:
        raise RunRefused(
            f"{key} is {state} by now, and was to be {asked.expected_state} for {asked.verb}."
            " Look at it again."
        )
    rule = _rule(record, asked.verb)
    if not rule.legal:
        raise RunRefused(f"{asked.verb} does not apply to {key}: {rule.why_not}")
    return rule


def _try(runtime: Runtime, found: Found, asked: Asked) -> Transition:
    check(found, asked)
    if asked.verb in _PUBLISHES and found.record.envelope:
        check_broker(runtime, found.key, found.record)
    make = EVENTS[asked.verb]
    event = make(runtime, found, asked.action(), asked.expected_state, **asked.arguments)
    return transition(
        runtime.store,
        found.key,
        event,
        runtime.policy,
        observers=runtime.observers,
        who=asked.who,
    )


def _follow_up(runtime: Runtime, found: Found, asked: Asked, done: Transition) -> Change:
    key, before, now = found
    verdict, why, record = done.decision.verdict, done.decision.why, done.record
    if verdict is Verdict.GONE or record is None:
        raise RunRefused(f"{key} cannot be changed: {why}.")
    if verdict is Verdict.REFUSED:
        check(Found(key, record, now), asked)  # it has changed in between, mostly: say how
        raise RunRefused(f"{asked.verb} does not apply to {key}: {why}.")
    trouble = ""
    if not before.live:
        trouble = store_retry(runtime.app, key, record.envelope, _retried(asked))
    if verdict is Verdict.PUBLISH:
        publish(runtime, key, record, asked.who)
    if record.outcome is Outcome.CANCELLED and before.live:
        # A running one stores its outcome itself.
        trouble = store_revoked(runtime.app, key, before.envelope)
    return Change(
        run_of(runtime, *found),
        run_of(runtime, key, record, now),
        verdict,
        why,
        trouble,
        _rule(before, asked.verb).undo,
        _undo_arguments(runtime, found, asked),
        note=_note(before, record, asked.verb),
    )


def _retried(asked: Asked) -> str:
    return f"retried by {asked.who}" + (f": {asked.reason}" if asked.reason else "")


def _undo_arguments(runtime: Runtime, found: Found, asked: Asked) -> dict[str, Any]:
    if asked.verb is not Verb.ADJUST:
        return {}
    return before_adjusting(runtime, found, dict(asked.arguments))


def _note(before: Record, after: Record, verb: Verb) -> str:
    if verb is Verb.RELEASE and before.state is State.FINISHING:
        return "If its worker stores the outcome after all, callbacks are called twice"
    if verb is Verb.RELEASE:
        return (
            "The item that its worker is at, and those since its last checkpoint, may run twice."
            " The worker may write nothing of the run from now on, and keeps its slot until it"
            " notices, or is restarted"
        )
    again = verb in (Verb.RETRY, Verb.REWIND) and not before.live
    if again and unpack(before.envelope).body != unpack(after.envelope).body:
        return (
            "It was part of a chord, which has counted its end: its result is stored, and the chord"
            " does not count it again"
        )
    return ""


def _rule(record: Record, verb: Verb) -> Rule:
    requested = None if record.requested is None else str(record.requested)
    state, has_message = public_state(record), bool(record.envelope)
    # How many items are quarantined is asked where it matters.
    return rule_for(verb, state, requested, quarantined=1, has_message=has_message)


def check_broker(runtime: Runtime, key: RunKey, record: Record) -> None:
    """Raise :exc:`RunRefused` if the run's message does not belong to this app's broker."""
    check_broker_of(runtime, key, unpack(record.envelope).broker)


def check_broker_of(runtime: Runtime, key: RunKey, broker: str) -> None:
    """The same of a message to this broker."""
    if broker != runtime.broker:
        raise RunRefused(
            f"{key} belongs to the broker {mask_url(broker)}, and this app publishes to"
            f" {runtime.broker}. Use the configuration of the workers that run it."
        )


def publish(runtime: Runtime, key: RunKey, record: Record, who: str) -> None:
    """Send the message that a run waits for.

    Raises:
        NotSent: the broker did not accept it; a worker sends it again.
    """
    try:
        publish_record(runtime, key, record, who=who)
    except (OperationalError, PublishUncertain) as exc:
        raise NotSent(
            f"{key} is {public_state(record)}, and the broker {runtime.broker} did not accept its"
            f" message: {mask_text(str(exc)).rstrip('.')}."
            f" A worker sends it again within {2 * runtime.settings.lease_ttl:g} s."
        ) from exc

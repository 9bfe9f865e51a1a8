"""A change that an operator makes: pause, resume, cancel, send a run's message again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from celery.app.task import Context
from kombu.exceptions import OperationalError

from celery_graceful._celery.message.bodies import read_body
from celery_graceful._celery.message.envelope import Envelope, unpack
from celery_graceful.errors import NotSent, PublishUncertain, RunRefused
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.history import Action
from celery_graceful.model.run.record import Outcome, Record, RunKey
from celery_graceful.model.run.verbs import PLANNED, Rule, Verb, public_state, rule_for
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.runs.lookup import Found
from celery_graceful.runs.plain_run import Run, run_of
from celery_graceful.runs.successors import publish_record
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime
from celery_graceful.text.masking import mask_text, mask_url

#: The event of each verb that is one.
EVENTS: Mapping[Verb, Callable[[Action | None], ev.Event]] = {
    Verb.PAUSE: ev.Pause,
    Verb.RESUME: ev.Resume,
    Verb.CANCEL: ev.Cancel,
    Verb.RESEND: ev.Resend,
}


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


@dataclass(frozen=True, slots=True)
class Change:
    """What came of a change."""

    #: The run before and after.
    before: Run
    run: Run
    #: ``done``; ``publish``: its message was sent; ``asked``: it stops at its next checkpoint.
    verdict: Verdict
    why: str
    #: What did not work beside the change itself; empty when all did.
    trouble: str = ""
    #: The verb that undoes it; ``None``: nothing does.
    undo: Verb | None = None
    #: The id of what was sent beside the run: a fork, or the task of a replay.
    sent: str | None = None


def apply(runtime: Runtime, found: Found, asked: Asked) -> Change:
    """Do to a run what an operator asks, and what follows from it.

    Raises:
        RunRefused: its state does not allow it, or it belongs to another broker.
        NotSent: the broker did not accept its message; a worker retries.
    """
    key, before, now = found
    event = EVENTS[asked.verb](Action(time.time(), asked.who, str(asked.verb), asked.reason))
    rule = _rule(before, asked.verb)
    _check_state(key, before, asked)
    if isinstance(event, (ev.Resume, ev.Resend)) and before.envelope:
        _check_broker(runtime, key, before)
    done = transition(
        runtime.store, key, event, runtime.policy, observers=runtime.observers, who=asked.who
    )
    verdict, why = done.decision.verdict, done.decision.why
    if verdict is Verdict.GONE or done.record is None:
        raise RunRefused(f"{key} cannot be changed: {why}.")
    if verdict is Verdict.REFUSED:
        now_rule = _rule(done.record, asked.verb)
        raise RunRefused(f"{_cannot(key, asked.verb)}: {now_rule.why_not or why}")
    if verdict is Verdict.PUBLISH:
        _publish(runtime, key, done.record, asked.who)
    trouble = ""
    if isinstance(event, ev.Cancel) and done.record.outcome is Outcome.CANCELLED:
        # A running one stores its outcome itself.
        trouble = _store_revoked(runtime.app, key, before.envelope)
    after = run_of(runtime, key, done.record, now)
    return Change(
        run_of(runtime, *found),
        after,
        verdict,
        why,
        trouble,
        rule.undo if rule.undo not in PLANNED else None,
    )


def _rule(record: Record, verb: Verb) -> Rule:
    requested = None if record.requested is None else str(record.requested)
    return rule_for(verb, public_state(record), requested, has_message=bool(record.envelope))


def _cannot(key: RunKey, verb: Verb) -> str:
    return f"{verb} does not apply to {key}"


def _check_state(key: RunKey, record: Record, asked: Asked) -> None:
    state = public_state(record)
    if asked.expected_state and asked.expected_state != state:
        raise RunRefused(
            f"{key} is {state} by now, and was to be {asked.expected_state} for {asked.verb}."
            " Look at it again."
        )


def _check_broker(runtime: Runtime, key: RunKey, record: Record) -> None:
    broker = unpack(record.envelope).broker
    if broker != runtime.broker:
        raise RunRefused(
            f"{key} belongs to the broker {mask_url(broker)}, and this app publishes to"
            f" {runtime.broker}. Use the configuration of the workers that run it."
        )


def _publish(runtime: Runtime, key: RunKey, record: Record, who: str) -> None:
    try:
        publish_record(runtime, key, record, who=who)
    except (OperationalError, PublishUncertain) as exc:
        raise NotSent(
            f"{key} is interrupted, and the broker {runtime.broker} did not accept its message:"
            f" {mask_text(str(exc)).rstrip('.')}."
            f" A worker sends it again within {2 * runtime.settings.lease_ttl:g} s."
        ) from exc


def _store_revoked(app: Any, run: RunKey, envelope: bytes) -> str:
    """Store REVOKED as a worker would, and count the run in its chord.

    Returns:
        What went wrong, for people; empty when all went well. The run is cancelled either way.
    """
    try:
        message = unpack(envelope)
        request = Context(_request(app, message))
        app.backend.mark_as_revoked(
            run.id,
            "cancelled",
            request=request,
            store_result=not message.headers.get("ignore_result"),
        )
    except Exception as exc:  # any result backend, with errors of its own
        return (
            f"the result backend could not store that {run} is REVOKED ({mask_text(repr(exc))}):"
            " callers that wait for its result keep waiting"
        )
    return ""


def _request(app: Any, message: Envelope) -> dict[str, Any]:
    args, kwargs, embed = read_body(app, message)
    headers = {name: value for name, value in message.headers.items() if name != "compression"}
    properties = dict(message.properties)
    return {
        **headers,
        **embed,
        "args": args,
        "kwargs": kwargs,
        "properties": properties,
        "reply_to": properties.get("reply_to"),
        "correlation_id": properties.get("correlation_id"),
    }

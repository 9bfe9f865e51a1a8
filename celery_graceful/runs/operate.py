"""What an operator does to a run: pause, resume, cancel, send its message again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from celery.app.task import Context
from kombu.exceptions import OperationalError

from celery_graceful._celery.message.bodies import read_body
from celery_graceful._celery.message.envelope import Envelope, unpack
from celery_graceful.errors import NotSent, PublishUncertain, RunRefused
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.runs.lookup import Found
from celery_graceful.runs.plain_run import Run, run_of
from celery_graceful.runs.successors import publish_record
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime
from celery_graceful.text.masking import mask_text, mask_url


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


def apply(runtime: Runtime, found: Found, event: ev.Event, who: str) -> Change:
    """Apply an operator's event to a run, and do what follows from it.

    Raises:
        RunRefused: its state does not allow it, or it belongs to another broker.
        NotSent: the broker did not accept its message; a worker retries.
    """
    key, before, now = found
    if isinstance(event, (ev.Resume, ev.Resend)) and before.envelope:
        _check_broker(runtime, key, before)
    done = transition(
        runtime.store, key, event, runtime.policy, observers=runtime.observers, who=who
    )
    verdict, why = done.decision.verdict, done.decision.why
    if verdict is Verdict.REFUSED or done.record is None:
        advice = _advice(done.record or before, event)
        raise RunRefused(f"{key}: {why}. {advice}".rstrip())
    if verdict is Verdict.PUBLISH:
        _publish(runtime, key, done.record, who)
    trouble = ""
    if isinstance(event, ev.Cancel) and done.record.outcome is Outcome.CANCELLED:
        # A running one stores its outcome itself.
        trouble = _store_revoked(runtime.app, key, before.envelope)
    after = run_of(runtime, key, done.record, now)
    return Change(run_of(runtime, *found), after, verdict, why, trouble)


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


def _advice(record: Record, event: ev.Event) -> str:
    if record.state is State.ENDED:
        return "An ended run stays ended; start the task anew, from a cursor if it has one."
    if record.state is State.FINISHING:
        return "Its work is done and its outcome is being stored."
    if record.state is State.PAUSED:
        return "Resume or cancel it."
    if isinstance(event, ev.Resend):
        return "A worker runs it; if that worker dies, another one resumes it without help."
    pending = record.state in (State.INTERRUPTED, State.RETRYING)
    if isinstance(event, ev.Resume) and pending:
        return "Its message is on its way to a worker."
    return ""


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

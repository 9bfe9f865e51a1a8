"""What the result backend shows of a run that an operator has ended or continued."""

from __future__ import annotations

from typing import Any

from celery import states
from celery.app.task import Context
from celery.exceptions import Retry

from celery_graceful._celery.message.bodies import read_body
from celery_graceful._celery.message.envelope import Envelope, unpack
from celery_graceful.model.run.record import RunKey
from celery_graceful.text.masking import mask_text


def store_revoked(app: Any, run: RunKey, envelope: bytes) -> str:
    """Store REVOKED as a worker would, and count the run in its chord.

    Returns:
        What went wrong, for people; empty when all went well. The run is cancelled either way.
    """
    try:
        message = unpack(envelope)
        app.backend.mark_as_revoked(
            run.id,
            "cancelled",
            request=Context(_request(app, message)),
            store_result=_is_stored(message),
        )
    except Exception as exc:  # any result backend, with errors of its own
        return (
            f"the result backend could not store that {run} is REVOKED ({mask_text(repr(exc))}):"
            " callers that wait for its result keep waiting"
        )
    return ""


def store_retry(app: Any, run: RunKey, envelope: bytes, why: str) -> str:
    """Store RETRY in place of the outcome, so that callers wait again.

    Before the run's message is sent: the next execution may end it at once.

    Returns:
        What went wrong, for people; empty when all went well. The run continues either way.
    """
    try:
        message = unpack(envelope)
        if _is_stored(message):
            request = Context(_request(app, message))
            app.backend.store_result(run.id, Retry(why), states.RETRY, request=request)
    except Exception as exc:  # any result backend, with errors of its own
        return (
            f"the result backend could not store that {run} is in RETRY ({mask_text(repr(exc))}):"
            " until the run ends again, it shows the old outcome"
        )
    return ""


def _is_stored(message: Envelope) -> bool:
    return not message.headers.get("ignore_result")


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

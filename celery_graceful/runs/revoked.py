"""Telling the result backend that a run which nobody carries was cancelled."""

from __future__ import annotations

from typing import Any

from celery.app.task import Context

from celery_graceful._celery.message.bodies import read_body
from celery_graceful._celery.message.wire import Envelope, unpack
from celery_graceful.model.run.record import RunKey
from celery_graceful.text.masking import mask_text


def store_revoked(app: Any, run: RunKey, envelope: bytes) -> str:
    """Write REVOKED as a worker would, and count the run in its chord.

    Args:
        app: the Celery app.
        run: the cancelled run.
        envelope: the message it waited for, as its record kept it.

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
            f"the result backend could not be told that {run} is REVOKED ({mask_text(repr(exc))}):"
            " whoever waits for its result goes on waiting"
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

"""Telling the result backend that a run which nobody carries was cancelled."""

from __future__ import annotations

from typing import Any

from celery.app.task import Context
from kombu.compression import decompress
from kombu.serialization import loads, prepare_accept_content

from celery_graceful._celery.wire import Envelope, unpack
from celery_graceful.model.record import RunKey

__all__ = ["store_revoked"]


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
            f"the result backend could not be told that {run} is REVOKED ({exc!r}):"
            " whoever waits for its result goes on waiting"
        )
    return ""


def _request(app: Any, message: Envelope) -> dict[str, Any]:
    headers = dict(message.headers)
    body = message.body
    if compression := headers.pop("compression", None):
        body = decompress(body, compression)
    args, kwargs, embed = loads(
        body,
        message.content_type,
        message.content_encoding,
        accept=prepare_accept_content(app.conf.accept_content),
    )
    properties = dict(message.properties)
    return {
        **headers,
        **(embed or {}),
        "args": args,
        "kwargs": kwargs,
        "properties": properties,
        "reply_to": properties.get("reply_to"),
        "correlation_id": properties.get("correlation_id"),
    }

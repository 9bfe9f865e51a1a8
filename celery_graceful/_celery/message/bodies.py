"""What is in the body of a message: reading it, and writing it for a task of its own."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kombu import serialization
from kombu.serialization import dumps

from celery_graceful._celery.message.payloads import accepts_message, read_payload
from celery_graceful._celery.message.wire import CHECKPOINT, GENERATION, HOME, LEFT, Envelope
from celery_graceful.errors import CorruptRecord

#: What ties a message to others: a task of its own has none of it.
_TIES = ("callbacks", "errbacks", "chain", "chord")
_OF_A_RUN = (GENERATION, CHECKPOINT, HOME, LEFT, "group_index", "replaced_task_nesting")


def read_body(app: Any, message: Envelope) -> tuple[Any, Any, dict[str, Any]]:
    """Positional arguments, keyword arguments, and what is embedded (callbacks, chord, chain).

    Raises:
        CorruptRecord: the body cannot be read, or is of a content type that is not accepted.
    """
    check_accepted(app, message)
    try:
        args, kwargs, embed = read_payload(
            message.body, message.content_type, message.content_encoding
        )
        return tuple(args), dict(kwargs), dict(embed or {})
    except Exception as exc:  # any serializer, with errors of its own
        raise CorruptRecord(f"the body of a saved message cannot be read: {exc!r:.400}") from exc


def check_accepted(app: Any, message: Envelope) -> None:
    """Nothing is read or sent that this app's workers would not have taken from the broker.

    Raises:
        CorruptRecord: the message is of a content type that ``accept_content`` does not allow.
    """
    if not accepts_message(app.conf, message.content_type):
        raise CorruptRecord(
            f"a saved message is of content type {message.content_type!r:.80}, which accept_content"
            " does not allow"
        )


def on_its_own(
    app: Any, message: Envelope, headers: Mapping[str, Any], *, without: str
) -> Envelope:
    """The same call as a fresh task that calls nobody back.

    Args:
        app: the Celery app.
        message: the message to begin with.
        headers: more headers.
        without: a keyword argument that is left out.

    Returns:
        The new message; its task id is in its headers.

    Raises:
        CorruptRecord: the message cannot be read.
    """
    args, kwargs, embed = read_body(app, message)
    kwargs = {name: value for name, value in kwargs.items() if name != without}
    alone = {**embed, **dict.fromkeys(_TIES)}
    known: Any = serialization
    serializer = known.registry.type_to_name[message.content_type]
    content_type, encoding, data = dumps((args, kwargs, alone), serializer)
    body = data if isinstance(data, bytes) else data.encode(encoding)
    task_id = str(uuid.uuid4())
    kept = {name: value for name, value in message.headers.items() if name not in _OF_A_RUN}
    own = {"id": task_id, "root_id": task_id, "parent_id": None, "group": None, "retries": 0}
    properties = {**message.properties, "correlation_id": task_id}
    properties.pop("reply_to", None)
    return replace(
        message,
        body=body,
        content_type=content_type,
        content_encoding=encoding,
        headers={**kept, **own, "eta": None, "expires": None, **headers},
        properties=properties,
    )

"""What a message asks for, in its body: reading it, and writing it anew.

In messages of protocol 1 the body holds everything. They come from clients in other languages and
from apps with ``task_protocol = 1``; Celery decodes them before it makes the request, and their
headers hold nothing that a successor needs.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kombu import serialization
from kombu.serialization import dumps

from celery_graceful._celery.message.envelope import Envelope
from celery_graceful._celery.message.headers import (
    CHECKPOINT,
    GENERATION,
    HOME,
    LEFT,
    STARTED_WITH,
)
from celery_graceful._celery.message.payloads import accepts_message, read_payload
from celery_graceful.errors import CorruptRecord

logger = logging.getLogger("celery_graceful.runs")

#: What ties a message to others: a task of its own has none of it.
_TIES = ("callbacks", "errbacks", "chain", "chord")
_OF_A_RUN = (
    *(GENERATION, CHECKPOINT, HOME, LEFT, STARTED_WITH),
    *("group_index", "replaced_task_nesting"),
)
#: Body, content type, content encoding, headers.
Raw = tuple[Any, str, str, dict[str, Any]]

#: What protocol 2 has in its headers, by the names that Celery gives it when it reads protocol 1.
_HEADERS = (
    *("task", "id", "root_id", "parent_id", "group", "group_index", "meth", "shadow", "eta"),
    *("expires", "retries", "timelimit", "argsrepr", "kwargsrepr", "origin", "ignore_result"),
)


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
    message = _rewritten(message, args, kwargs, {**embed, **dict.fromkeys(_TIES)})
    task_id = str(uuid.uuid4())
    kept = {name: value for name, value in message.headers.items() if name not in _OF_A_RUN}
    own = {"id": task_id, "root_id": task_id, "parent_id": None, "group": None, "retries": 0}
    properties = {**message.properties, "correlation_id": task_id}
    properties.pop("reply_to", None)
    return replace(
        message,
        headers={**kept, **own, "eta": None, "expires": None, **headers},
        properties=properties,
    )


def for_another_try(app: Any, message: Envelope, *, failed: bool) -> Envelope:
    """The message of a run that has ended, to continue it: it has all its retries again.

    A chord has counted the run at its end, so the run leaves it. One that failed has taken the rest
    of its chain with it: that was counted as well, where it is part of a chord.

    Args:
        app: the Celery app.
        message: the run's message.
        failed: whether the run failed; else it was cancelled.

    Raises:
        CorruptRecord: the message cannot be read.
    """
    args, kwargs, embed = read_body(app, message)
    chain, chord = embed.get("chain") or [], embed.get("chord")
    counted = [each for each in chain if failed and "chord" in (each.get("options") or {})]
    if chord or counted:
        embed = {**embed, "chord": None, "chain": list(map(_without_chord, chain))}
        message = _rewritten(message, args, kwargs, embed)
    return replace(message, headers={**message.headers, "retries": 0})


def _without_chord(signature: Mapping[str, Any]) -> dict[str, Any]:
    options = {k: v for k, v in (signature.get("options") or {}).items() if k != "chord"}
    return {**signature, "options": options}


def _rewritten(message: Envelope, args: Any, kwargs: Any, embed: Mapping[str, Any]) -> Envelope:
    known: Any = serialization
    serializer = known.registry.type_to_name[message.content_type]
    content_type, encoding, data = dumps((args, kwargs, embed), serializer)
    body = data if isinstance(data, bytes) else data.encode(encoding)
    return replace(message, body=body, content_type=content_type, content_encoding=encoding)


def task_and_id(app: Any, message: Any) -> tuple[str, str]:
    """What a message of either protocol asks for: the task's name and its id.

    Args:
        app: the Celery app, whose ``accept_content`` says which bodies are read.
        message: kombu's message, or an envelope.

    Returns:
        Empty texts for what the message does not say, and for a body that cannot be read.
    """
    headers = message.headers or {}
    asked = headers if "task" in headers else _decoded(app, message)  # as Celery distinguishes them
    task, task_id = asked.get("task"), asked.get("id")
    return task if isinstance(task, str) else "", task_id if isinstance(task_id, str) else ""


def _decoded(app: Any, message: Any) -> Mapping[str, Any]:
    if not accepts_message(app.conf, message.content_type):
        return {}
    body = message.body
    data = body.encode() if isinstance(body, str) else bytes(body)
    try:
        found = read_payload(data, message.content_type, message.content_encoding)
    except Exception as exc:  # any serializer, with errors of its own
        logger.info("a message without a task in its headers cannot be read: %.400r", exc)
        return {}
    return found if isinstance(found, Mapping) else {}


def written_anew(message: Any, body: Any, request: Mapping[str, Any]) -> Raw | None:
    """A message of protocol 2 that asks for the same; ``None`` if it cannot be written.

    Args:
        message: kombu's message.
        body: positional arguments, keyword arguments and callbacks, as Celery has decoded them.
        request: what Celery has read besides.
    """
    known: Any = serialization
    try:
        serializer = known.registry.type_to_name[message.content_type]
        content_type, encoding, data = dumps(tuple(body), serializer)
    except Exception as exc:  # what can be read, but not written: the run cannot be interrupted
        logger.error(
            "%s[%s]: its message of protocol 1 cannot be written again as %s: %r",
            request.get("task"),
            request.get("id"),
            message.content_type,
            exc,
        )
        return None
    own = {name: request[name] for name in _HEADERS if request.get(name) is not None}
    return data, content_type, encoding, {**(message.headers or {}), "lang": "py", **own}

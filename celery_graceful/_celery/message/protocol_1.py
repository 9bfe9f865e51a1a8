"""Messages of protocol 1, whose body holds everything: read, and written anew by protocol 2.

They come from clients in other languages and from apps with ``task_protocol = 1``. Celery decodes
them before it makes the request, and their headers hold nothing that a successor needs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from kombu import serialization
from kombu.serialization import dumps

from celery_graceful._celery.message.payloads import accepts_message, read_payload

logger = logging.getLogger("celery_graceful.runs")

#: Body, content type, content encoding, headers.
Raw = tuple[Any, str, str, dict[str, Any]]

#: What protocol 2 has in its headers, by the names that Celery gives it when it reads protocol 1.
_HEADERS = (
    *("task", "id", "root_id", "parent_id", "group", "group_index", "meth", "shadow", "eta"),
    *("expires", "retries", "timelimit", "argsrepr", "kwargsrepr", "origin", "ignore_result"),
)


def task_and_id(app: Any, message: Any) -> tuple[str, str]:
    """What a message of either protocol asks for: the task's name and its id.

    Args:
        app: the Celery app, whose ``accept_content`` says which bodies are read.
        message: kombu's message, or an envelope.

    Returns:
        Empty texts for what the message does not say, and for a body that cannot be read.
    """
    headers = message.headers or {}
    asked = headers if "task" in headers else _body(app, message)  # as Celery tells them apart
    task, task_id = asked.get("task"), asked.get("id")
    return task if isinstance(task, str) else "", task_id if isinstance(task_id, str) else ""


def _body(app: Any, message: Any) -> Mapping[str, Any]:
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

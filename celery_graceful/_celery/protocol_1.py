"""Messages of protocol 1, whose body holds everything: written anew by protocol 2.

They come from clients in other languages and from apps with ``task_protocol = 1``. Celery decodes
them before it makes the request, and their headers hold nothing that a successor needs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from kombu import serialization
from kombu.serialization import dumps

__all__ = ["Raw", "written_anew"]

logger = logging.getLogger("celery_graceful.runs")

#: Body, content type, content encoding, headers.
Raw = tuple[Any, str, str, dict[str, Any]]

#: What protocol 2 has in its headers, by the names that Celery gives it when it reads protocol 1.
_HEADERS = (
    *("task", "id", "root_id", "parent_id", "group", "group_index", "meth", "shadow", "eta"),
    *("expires", "retries", "timelimit", "argsrepr", "kwargsrepr", "origin", "ignore_result"),
)


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

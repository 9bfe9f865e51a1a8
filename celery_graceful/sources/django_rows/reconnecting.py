"""Reading from a connection that may have been lost since the page before."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

logger = logging.getLogger("celery_graceful.sources")

_Read = TypeVar("_Read")


def reading(alias: str, read: Callable[[], _Read]) -> _Read:
    """What ``read`` returns; it is called again when the connection was lost.

    Args:
        alias: the database, as ``DATABASES`` calls it.
        read: runs one query.
    """
    from django.db import InterfaceError, OperationalError, connections

    connection = connections[alias]
    try:
        return read()
    except (OperationalError, InterfaceError) as exc:
        if connection.in_atomic_block or connection.is_usable():
            raise
        logger.warning(
            "sources.queryset: the connection to the database %r was lost; connecting again: %s",
            alias,
            exc,
        )
        connection.close()
        return read()

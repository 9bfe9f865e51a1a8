"""Django's connections of this thread, where nobody else looks after them.

Celery closes those of a task before and after it. What runs in threads of our own (receivers of
signals, result backends such as django-db) would keep a connection for ever, also one that the
server has closed; and an item that met such a connection would leave it to the next.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("celery_graceful")


def close_stale_connections() -> None:
    """Close what is older than ``CONN_MAX_AGE`` or broken, as Celery does between two tasks."""
    _for_each(lambda connection: connection.close_if_unusable_or_obsolete())


def close_broken_connections() -> None:
    """Close what an error has left unusable; the next query opens another.

    Usable ones stay open: there may be a server-side cursor on them.
    """
    _for_each(_close_if_broken)


def _close_if_broken(connection: Any) -> None:
    if connection.errors_occurred and not connection.in_atomic_block:
        if connection.is_usable():
            connection.errors_occurred = False
        else:
            connection.close()


def _for_each(call: Callable[[Any], None]) -> None:
    for connection in _open_here():
        try:
            call(connection)
        except Exception:  # of a driver; the thread and the run go on
            logger.warning(
                "A connection to the Django database %r could not be closed",
                connection.alias,
                exc_info=True,
            )


def _open_here() -> list[Any]:
    database, conf = sys.modules.get("django.db"), sys.modules.get("django.conf")
    if database is None or conf is None or not conf.settings.configured:
        return []
    connections = getattr(database, "connections", None)  # else it is being imported just now
    if connections is None:
        return []
    return [c for c in connections.all(initialized_only=True) if c.connection is not None]

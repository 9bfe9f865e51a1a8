"""Open ``atomic()`` blocks of Django's connections, in this thread. Opens no connection itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from celery_graceful.execution.uncommitted import drivers


class Watched:
    """The connections of one execution, compared with how it found them."""

    def __init__(self) -> None:
        #: By alias: the nested blocks that were open before.
        self._depths: dict[str, int] = {}
        #: Aliases whose driver was in a transaction before, without a block.
        self._open_before: set[str] = set()

    def begin(self) -> None:
        """What is open now belongs to the caller."""
        for connection in _connections():
            depth = _depth(connection)
            self._depths[connection.alias] = depth
            if not depth and drivers.state(connection.connection) is not None:
                self._open_before.add(connection.alias)

    def open(self) -> Iterator[str]:
        """What was opened since.

        Whether a block has written anything cannot be told on every database, so each one counts.
        """
        for connection in _connections():
            alias = connection.alias
            depth, before = _depth(connection), self._depths.get(alias, 0)
            if depth > before:
                yield f"a transaction.atomic() block on the Django database {alias!r}"
            elif depth or before or alias in self._open_before:
                continue
            elif (how := drivers.state(connection.connection)) is not None:
                yield f"a transaction on the Django database {alias!r}, without autocommit ({how})"


def _depth(connection: Any) -> int:
    """How many blocks are open: the outermost, and those within, with a savepoint or without."""
    return 1 + len(connection.savepoint_ids) if connection.in_atomic_block else 0


def _connections() -> list[Any]:
    """Those that exist in this thread already."""
    module, conf = sys.modules.get("django.db"), sys.modules.get("django.conf")
    if module is None or conf is None or not conf.settings.configured:
        return []
    connections = getattr(module, "connections", None)  # else it is being imported just now
    if connections is None:
        return []
    try:
        found: list[Any] = connections.all(initialized_only=True)
    except TypeError:  # Django before 4.1
        there = connections._connections
        return [getattr(there, alias) for alias in connections if hasattr(there, alias)]
    return found

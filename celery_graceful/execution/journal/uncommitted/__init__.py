"""Finds transactions of the task's own that are still open when a checkpoint would be saved.

Work that is not committed is lost at a stop or a crash, and the run would continue after it. Only
what was opened within the execution counts: a transaction around the whole run, as in tests, is
its caller's. Looked at are

- Django's connections of this thread, all aliases: open ``atomic()`` blocks;
- SQLAlchemy's connections and sessions, through its events: what was written or waits to be;
- connections of psycopg and sqlite3 that the task holds: in local variables of its generator or
  enumerator, on itself, in the globals and closures that its code names.
"""

from __future__ import annotations

import sys
from typing import Any

from celery_graceful.atomic import own_blocks
from celery_graceful.execution.journal.uncommitted import alchemy, drivers


class OpenWork:
    """What one execution's own code has opened and not committed yet.

    Args:
        task: the task, in whose reach connections of plain drivers are looked for.
    """

    def __init__(self, task: Any) -> None:
        self.alchemy = alchemy.Watched()
        self._django = DjangoBlocks()
        self._drivers = drivers.Watched(task)

    def begin(self) -> None:
        """The execution begins: what is open now belongs to its caller."""
        self.alchemy.begin()
        self._django.begin()
        self._drivers.begin()

    def found(self, source: Any = None, *, drivers: bool = True) -> str | None:
        """The first transaction that is open, for an error message; ``None`` when all is committed.

        Args:
            source: the generator or enumerator that the loop is at.
            drivers: look for connections of plain drivers too, which takes the longest.
        """
        found = self._django.found() or self.alchemy.found()
        return self._drivers.found(source) if found is None and drivers else found

    def lost(self, number: int) -> str | None:
        """The transaction of earlier items that ends, or has ended, undone by an error.

        Args:
            number: of the item that has raised, counted from 1 within this execution's loop.
        """
        return self._django.found() or self.alchemy.lost(number)


class DjangoBlocks:
    """Open ``atomic()`` blocks of Django's connections in this thread; opens no connection."""

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

    def found(self) -> str | None:
        """The first that was opened since.

        Not every database shows whether a block has written anything, so each one counts.
        """
        for connection in _connections():
            alias = connection.alias
            depth, before = _depth(connection), self._depths.get(alias, 0)
            if depth > before:
                return f"a transaction.atomic() block on the Django database {alias!r}"
            if depth or before or alias in self._open_before or own_blocks(connection):
                continue
            if (how := drivers.state(connection.connection)) is not None:
                return f"a transaction on the Django database {alias!r}, without autocommit ({how})"
        return None


def _depth(connection: Any) -> int:
    """How many blocks are open: the outermost, and those within, with a savepoint or without.

    The block of an atomic run's batch does not count: the run itself commits it.
    """
    if not connection.in_atomic_block:
        return 0
    return 1 + len(connection.savepoint_ids) - own_blocks(connection)


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

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

from collections.abc import Iterator
from typing import Any

from celery_graceful.execution.uncommitted import alchemy, django, drivers

__all__ = ["OpenWork"]


class OpenWork:
    """What one execution's own code has opened and not committed yet.

    Args:
        task: the task, in whose reach connections of plain drivers are looked for.
    """

    def __init__(self, task: Any) -> None:
        self.alchemy = alchemy.Watched()
        self._django = django.Watched()
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
        return next(self._all(source, drivers), None)

    def lost(self, number: int) -> str | None:
        """The transaction of earlier items that ends, or has ended, undone by an error.

        Args:
            number: of the item that has raised, counted from 1 within this execution's loop.
        """
        return next(self._django.open(), None) or self.alchemy.lost(number)

    def _all(self, source: Any, drivers: bool) -> Iterator[str]:
        yield from self._django.open()
        yield from self.alchemy.open()
        if drivers:
            yield from self._drivers.open(source)

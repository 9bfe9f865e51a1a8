"""What all stores share when they list records: paging, and skipping what cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Callable

from celery_graceful.model.record import Record, RunKey
from celery_graceful.stores.unread import why_skipped

__all__ = ["Entry", "Skipped", "collect", "joined"]

logger = logging.getLogger("celery_graceful.stores")

#: A listed run, or ``None`` for one that was skipped.
Entry = tuple[RunKey, Record] | None

#: Pages read for one listing, so that a store full of damage cannot hold a worker for long.
_MAX_PAGES = 50
#: Keys remembered as warned of.
_MAX_WARNED = 1000


def collect(limit: int, fetch: Callable[[int, int], list[Entry]]) -> list[tuple[RunKey, Record]]:
    """Read pages until ``limit`` readable records are found or nothing is left.

    Args:
        limit: How many records to return at most.
        fetch: Called with an offset and a count; returns fewer entries than asked only at the end.
    """
    found: list[tuple[RunKey, Record]] = []
    offset = 0
    for _ in range(_MAX_PAGES):
        wanted = limit - len(found)
        if wanted <= 0:
            break
        page = fetch(offset, wanted)
        found += [entry for entry in page if entry is not None]
        offset += len(page)
        if len(page) < wanted:
            break
    return found


def joined(
    limit: int, live: list[tuple[RunKey, Record]], ended: list[tuple[RunKey, Record]]
) -> list[tuple[RunKey, Record]]:
    """Two listings as one: a run that ended between them, or began anew, counts as live."""
    found = dict(live)
    for run, record in ended:
        found.setdefault(run, record)
    return list(found.items())[: max(limit, 0)]


class Skipped:
    """Warns of each unreadable record once."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def warn(self, key: str, why: object) -> None:
        """Log that the record at ``key`` was left out of a listing, and why; once per key."""
        if key in self._warned:
            return
        if len(self._warned) < _MAX_WARNED:
            self._warned.add(key)
        logger.warning("%s", why_skipped(key, why))

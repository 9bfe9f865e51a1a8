"""What all stores share when they list records: paging, and skipping what cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.stores.unread import why_skipped

logger = logging.getLogger("celery_graceful.stores")

#: Records that a store reads in one go: a long listing must not hold up others.
AT_ONCE = 250
#: Pages of one listing that may be empty or hold damaged records, so that a store full of damage
#: cannot hold up a worker for long. A page that is short because its records are large is neither.
_MAX_POOR_PAGES = 50
#: Keys remembered as warned of.
_MAX_WARNED = 1000

#: A listed run, or ``None`` for one that was skipped.
Entry = tuple[RunKey, Record] | None


class Page(NamedTuple):
    """A part of a listing."""

    entries: list[Entry]
    #: The key of the last record that was looked at; the next page begins behind it. A number of
    #: records to skip would not do: the server would read them all again, and a record that moves
    #: meanwhile would hide another. ``None``: there are no more.
    after: tuple[Any, ...] | None


def collect(
    limit: int, fetch: Callable[[tuple[Any, ...] | None, int], Page]
) -> list[tuple[RunKey, Record]]:
    """Read pages until ``limit`` readable records are found or nothing is left.

    Args:
        limit: How many records to return at most.
        fetch: Called with the key to continue after (``None``: from the beginning) and how many
            records to read at most.
    """
    found: list[tuple[RunKey, Record]] = []
    after, poor = None, 0
    while len(found) < limit and poor <= _MAX_POOR_PAGES:
        wanted = AT_ONCE if poor else min(limit - len(found), AT_ONCE)
        entries, after = fetch(after, wanted)
        readable = [entry for entry in entries if entry is not None]
        found += readable
        if after is None:
            break
        poor += not entries or len(readable) < len(entries)
    return found[: max(limit, 0)]


def joined(
    limit: int,
    live: list[tuple[RunKey, Record]],
    ended: Callable[[int], list[tuple[RunKey, Record]]],
) -> list[tuple[RunKey, Record]]:
    """Two listings as one: a run that ended between them, or began anew, counts as live.

    Args:
        limit: How many records to return at most.
        live: The first listing, of up to ``limit``.
        ended: Reads the second, up to a limit; not called when the first is enough.
    """
    if len(live) >= limit:
        return live
    found = dict(live)
    for run, record in ended(limit):
        found.setdefault(run, record)
    return list(found.items())[:limit]


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

"""Paging, which all stores share when they list records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from celery_graceful.stores.base import Listed

#: Records that a store reads in one go: a long listing must not hold up others.
AT_ONCE = 250
#: Pages of one listing that may be empty or hold damaged records, so that a store full of damage
#: cannot hold up a worker for long. A page that is short because its records are large is neither.
_MAX_POOR_PAGES = 50

#: A listed run, or ``None`` for one that was skipped.
Entry = Listed | None


class Page(NamedTuple):
    """A part of a listing."""

    entries: list[Entry]
    #: The key of the last record that was looked at; the next page begins behind it. A number of
    #: records to skip would not do: the server would read them all again, and a record that moves
    #: meanwhile would hide another. ``None``: there are no more.
    after: tuple[Any, ...] | None


def collect(
    limit: int,
    fetch: Callable[[tuple[Any, ...] | None, int], Page],
    after: tuple[Any, ...] | None = None,
) -> list[Listed]:
    """Read pages until ``limit`` readable records are found or nothing is left.

    Args:
        limit: How many records to return at most.
        fetch: Called with the key to continue after (``None``: from the beginning) and how many
            records to read at most.
        after: The key to begin after.
    """
    found: list[Listed] = []
    poor = 0
    while len(found) < limit and poor <= _MAX_POOR_PAGES:
        wanted = AT_ONCE if poor else min(limit - len(found), AT_ONCE)
        entries, after = fetch(after, wanted)
        readable = [entry for entry in entries if entry is not None]
        found += readable
        if after is None:
            break
        poor += not entries or len(readable) < len(entries)
    return found[: max(limit, 0)]

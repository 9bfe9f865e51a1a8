"""Rows that come again because their key has moved ahead of the cursor.

A task that updates the columns it is ordered by, as ``updated_at``, moves each row that it has done
to the end, and never ends. One row that somebody else has moved is no mistake.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from celery_graceful.errors import SourceError
from celery_graceful.sources.keyset.key_cursors import columns_of
from celery_graceful.sources.keyset.order import Order

logger = logging.getLogger("celery_graceful.sources")

#: How many of the first rows are remembered, at least, where there are so many.
_REMEMBERED = 100


class MovedRows:
    """Remembers the first rows of an execution, and looks for them in later pages.

    Args:
        source: the source's name, for messages.
        order: of the rows.
    """

    def __init__(self, source: str, order: Order) -> None:
        self._source = source
        self._order = order
        self._places = [order.names.index(name) for name in order.identity]
        #: Rows in the order of their identity alone cannot move.
        self._watches = bool(order.identity) and len(order.identity) < len(order.names)
        self._first: set[Any] = set()
        self._again: set[Any] = set()

    def look(self, keys: Sequence[Any]) -> None:
        """Check a page's keys.

        Raises:
            SourceError: most of the first rows have come again.
        """
        if self._watches and not self._first.isdisjoint(self._rows(keys)):
            self._report(self._first.intersection(self._rows(keys)))

    def note(self, keys: Sequence[Any]) -> None:
        """The rows with these keys are done."""
        if self._watches and len(self._first) < _REMEMBERED and len(keys):
            self._first.update(self._rows(keys))

    def _rows(self, keys: Sequence[Any]) -> Iterable[Any]:
        """What identifies each row: a value, or a tuple of several."""
        columns = list(columns_of(keys))
        if len(self._places) == 1:
            return columns[self._places[0]]
        return zip(*(columns[place] for place in self._places))  # noqa: B905 - as long as the page

    def _report(self, again: set[Any]) -> None:
        one, known = next(iter(again)), bool(self._again)
        one = (one,) if len(self._places) == 1 else one
        self._again |= again
        which = ", ".join(
            f"{name} = {value!r:.100}"
            for name, value in zip(self._order.identity, one, strict=True)
        )
        if 2 <= len(self._again) > len(self._first) // 2:
            raise SourceError(
                f"{self._source}: rows that were done come again (such as {which}), as their values"
                f" of the order {self._order.text} have changed. If this task changes them, it"
                ' would never end: order by columns that stay, or write upper_bound="now"'
            )
        if not known:
            logger.warning(
                "%s: a row comes again (%s), as its values of the order %s have changed since",
                self._source,
                which,
                self._order.text,
            )

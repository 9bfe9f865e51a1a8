"""What a keyset source's cursor looks like, and which ones are refused.

- ``42``: the key, when the order is one ascending column whose values are numbers or texts and no
  upper bound is frozen: short, and easy to write by hand;
- ``["-created_at,-id", {"datetime": "2026-01-31T12:00:00"}, 42]``: the order, then the key;
- ``[{"order": "id", "until": [900]}, 42]``: the same with a frozen upper bound.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import repeat
from typing import Any, NamedTuple

from celery_graceful.errors import CursorError, SourceError
from celery_graceful.sources.keyset.order import Order
from celery_graceful.sources.keyset.values import PLAIN, decode, encode

_BARE = frozenset({int, str})
_NONE = type(None)


class KeyColumns(Sequence[Any]):
    """The keys of a page, kept by column: a tuple for each row would keep the collector busy.

    Args:
        columns: the values of each column, in the order's order; two or more.
    """

    def __init__(self, columns: Sequence[Sequence[Any]]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return KeyColumns([column[place] for column in self.columns])
        return tuple(column[place] for column in self.columns)


class Place(NamedTuple):
    """Where an execution begins."""

    #: The key that is done; ``None`` at the start.
    after: tuple[Any, ...] | None = None
    #: The frozen upper bound: a key, or the values of its first columns.
    until: tuple[Any, ...] | None = None


class Cursors:
    """Reads and writes the cursors of one source.

    Args:
        source: its name, for messages.
        order: of its rows.
        kinds: Python's types of the key columns, where known, against cursors of other tables.
        trusted: columns in which every row has an ``int`` or ``str``: not looked at.
    """

    def __init__(
        self,
        source: str,
        order: Order,
        kinds: Sequence[tuple[type, ...] | None] | None = None,
        *,
        trusted: Collection[str] = (),
    ) -> None:
        self.source = source
        self.order = order
        self._kinds = kinds or [None] * len(order.keys)
        only = order.keys[0]
        self._trusted = trusted
        self._bare = len(order.keys) == 1 and not (only.descending or only.nullable)

    # -- reading ----------------------------------------------------------------------------

    def read(self, cursor: Any) -> Place:
        """The place that a cursor means.

        Raises:
            CursorError: it is none of this source's, or of another order.
        """
        if cursor is None:
            return Place()
        if self._bare and type(cursor) in _BARE:
            return Place(self._key([cursor], cursor))
        if not isinstance(cursor, (list, tuple)) or not cursor:
            raise self._foreign(cursor)
        head, *key = cursor
        until: Any = None
        if isinstance(head, dict):
            if set(head) != {"order", "until"} or not isinstance(head["until"], (list, tuple)):
                raise self._foreign(cursor)
            head, until = head["order"], head["until"]
        if not isinstance(head, str):
            raise self._foreign(cursor)
        if head != self.order.text:
            raise CursorError(
                f"{self.source}: the cursor {cursor!r:.200} comes from the order {head!r}, and the"
                f" rows are asked for in the order {self.order.text!r}; go back to that order, or"
                " start the run anew"
            )
        after = self._key(key, cursor)
        return Place(after, None if until is None else self._until(until, cursor))

    def bound(self, value: Any) -> tuple[Any, ...]:
        """An ``upper_bound`` of the user's: one value, or a tuple for the first columns.

        Raises:
            SourceError: it has more values than the order has columns, or none.
        """
        values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
        if not 1 <= len(values) <= len(self.order.keys):
            raise SourceError(
                f"{self.source}: upper_bound={value!r:.200} has {len(values)} values for the order"
                f" {self.order.text!r}; give one for each of its columns, or for the first ones"
            )
        for key, part in zip(self.order.keys, values, strict=False):
            if part is None and not key.nullable:
                raise SourceError(
                    f"{self.source}: upper_bound={value!r:.200} is None for {key.name}, which is"
                    " never NULL; leave upper_bound out for no bound"
                )
            encode(part, key.name)
        return values

    def _key(self, parts: Sequence[Any], cursor: Any) -> tuple[Any, ...]:
        keys = self.order.keys
        if len(parts) != len(keys):
            raise self._foreign(cursor)
        values = self._until(parts, cursor)
        for key, value, kinds in zip(keys, values, self._kinds, strict=True):
            null_in_vain = value is None and not key.nullable
            if null_in_vain or (kinds and value is not None and not isinstance(value, kinds)):
                raise CursorError(
                    f"{self.source}: the cursor {cursor!r:.200} has {value!r:.200} for {key.name},"
                    f" which is no value of that column; it comes from other rows"
                )
        return values

    def _until(self, parts: Sequence[Any], cursor: Any) -> tuple[Any, ...]:
        if not 1 <= len(parts) <= len(self.order.keys):
            raise self._foreign(cursor)
        return tuple(decode(p, n) for p, n in zip(parts, self.order.names, strict=False))

    def _foreign(self, cursor: Any) -> CursorError:
        return CursorError(
            f"{self.source}: {cursor!r:.200} is no cursor of rows in the order"
            f" {self.order.text!r}; pass on a cursor as the source yielded it, or None"
        )

    # -- writing ----------------------------------------------------------------------------

    def of(self, keys: Sequence[Any], until: tuple[Any, ...] | None) -> Iterable[Any]:
        """The cursors of a page of rows, made as they are taken.

        Args:
            keys: each row's value, or tuple of values when the order has several columns.
            until: the frozen upper bound.

        Raises:
            SourceError: a value cannot be held, or is ``NULL`` where no value may be.
        """
        width = len(self.order.keys)
        if self._bare and until is None and self._are_bare(keys):
            return keys
        columns: Iterable[Sequence[Any]] = [keys] if width == 1 else columns_of(keys)
        encoded = [self._encoded(column, place) for place, column in enumerate(columns)]
        return map(list, zip(repeat(self._head(until)), *encoded))

    def _are_bare(self, keys: Sequence[Any]) -> bool:
        return self.order.keys[0].name in self._trusted or _BARE.issuperset(map(type, keys))

    def _encoded(self, values: Sequence[Any], place: int) -> Sequence[Any]:
        key = self.order.keys[place]
        if key.name in self._trusted:
            return values
        kinds = set(map(type, values))
        if _NONE in kinds and not key.nullable:
            raise SourceError(
                f"{self.source}: {key.name} is NULL in a row, and its definition says that it never"
                " is; correct the definition, or order by another column"
            )
        return values if PLAIN.issuperset(kinds) else [encode(v, key.name) for v in values]

    def _head(self, until: tuple[Any, ...] | None) -> Any:
        if until is None:
            return self.order.text
        names = self.order.names
        bound = [encode(v, n) for v, n in zip(until, names, strict=False)]
        return {"order": self.order.text, "until": bound}


def columns_of(keys: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """The values of each column of the keys of a page."""
    if isinstance(keys, KeyColumns):
        return keys.columns
    return zip(*keys)  # noqa: B905 - all as long as the order

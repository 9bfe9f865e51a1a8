"""A total order of rows: columns with directions, ended by the primary key."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from celery_graceful.errors import SourceError


@dataclass(frozen=True, slots=True)
class Key:
    """One column of an order."""

    #: As the source calls it; unique within the order.
    name: str
    descending: bool = False
    #: Whether it may be ``NULL``; when in doubt, it may.
    nullable: bool = False

    def __str__(self) -> str:
        return f"-{self.name}" if self.descending else self.name


@dataclass(frozen=True)
class Order:
    """A total order: no two rows have the same key."""

    keys: tuple[Key, ...]
    #: The columns that identify a row by themselves.
    identity: tuple[str, ...] = ()

    @cached_property
    def text(self) -> str:
        """As it stands in cursors and messages: ``"-created_at,-id"``."""
        return ",".join(map(str, self.keys))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(key.name for key in self.keys)

    @property
    def reversed(self) -> Order:
        """The same rows from the last to the first."""
        keys = tuple(replace(key, descending=not key.descending) for key in self.keys)
        return Order(keys, self.identity)


def directed(name: str) -> tuple[str, bool]:
    """``"-created_at"`` as ``("created_at", True)``: the name, and whether it is descending."""
    return (name[1:], True) if name.startswith("-") else (name, False)


def total_order(
    source: str,
    asked: Sequence[tuple[str, bool]],
    primary_key: Sequence[str],
    *,
    nullable: Collection[str] = (),
    known: Collection[str] | None = None,
) -> Order:
    """The order that was asked for, with the missing columns of the primary key appended.

    They have the direction of the last column that was asked for.

    Args:
        source: the source's name, for messages.
        asked: names and whether they are descending; may be empty.
        primary_key: the names of its columns, or of any others that together are unique.
        nullable: the columns that may be ``NULL``.
        known: all columns there are; ``None`` when the caller has looked already.

    Raises:
        SourceError: a column is not known or was given twice, or nothing makes the order total.
    """
    names = [name for name, _ in asked]
    for place, name in enumerate(names):
        if known is not None and name not in known:
            raise SourceError(
                f"{source}: order_by names the column {name!r}, which is not there;"
                f" there are {', '.join(sorted(known))}"
            )
        if name in names[:place]:
            raise SourceError(f"{source}: order_by names the column {name!r} twice; write it once")
    if not primary_key:
        raise SourceError(
            f"{source}: the rows have no primary key, so that rows with equal values of order_by"
            " could be left out or repeated; select from a table with a primary key"
        )
    # In the direction of the last column, so that one index, read in one direction, has the order.
    last = asked[-1][1] if asked else False
    every = [*asked, *((name, last) for name in primary_key if name not in names)]
    keys = tuple(Key(name, down, name in nullable) for name, down in every)
    return Order(keys, tuple(primary_key))

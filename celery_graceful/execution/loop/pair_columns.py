"""Pairs taken apart into items and cursors, where that makes the loop over them cheaper."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any


class Columns(tuple[Iterator[Any], Iterator[Any]]):
    """An iterator of items and one of their cursors, for a loop over both: it makes no pairs."""

    __slots__ = ()


def columns_of(pairs: Iterator[Any]) -> Iterator[Any] | Columns:
    """The two iterators of a ``zip`` or an ``enumerate``; other pairs as they are.

    These use one tuple again and again, unless somebody holds the last one, as a ``zip`` around
    them does.
    """
    parts: Any = pairs.__reduce__() if type(pairs) in (zip, enumerate) else None
    if type(pairs) is enumerate:
        items, first = parts[1]
        # Not ``itertools.count``, which takes longer.
        return Columns((iter(range(first, first + sys.maxsize)), items))
    if type(pairs) is zip and len(parts) == 2 and len(parts[1]) == 2:  # a strict one has three
        return Columns(parts[1])
    return pairs

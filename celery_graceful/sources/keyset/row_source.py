"""What keyset sources return: an iterator that can count its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

_Pair = TypeVar("_Pair")


class RowSource(Generic[_Pair]):
    """(item, cursor) pairs of a database's rows; nothing is asked before the first.

    Args:
        pairs: the pairs.
        count: what :meth:`count` returns, asked for anew with each call.
    """

    def __init__(self, pairs: Iterator[_Pair], count: Callable[[], int | None]) -> None:
        self._pairs = pairs
        self._count = count

    def __iter__(self) -> Iterator[_Pair]:
        # Not self: no Python should run for each pair.
        return self._pairs

    def __next__(self) -> _Pair:
        return next(self._pairs)

    def count(self) -> int | None:
        """How many rows there are in all, done ones included, for a task's ``count``.

        ``None`` unless the source was made with ``count="exact"`` or ``count="estimate"``.
        """
        return self._count()

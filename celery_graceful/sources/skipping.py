"""Stretches of a source that have no item to yield: the cursor moves there, and a stop is seen.

A source that reads on without finding an item, such as :func:`~.combining.filtered`, would keep
the loop waiting, and a stop with it. Such a source is a :class:`SkippingSource`: between its pairs
it has *markers*, pairs of :data:`SKIPPED` and a cursor, which the loop takes for a place to stop at
and not for an item. Other sources have none, and cost nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar

from celery_graceful.errors import SourceError

#: Seconds without an item after which a source yields a marker: how long a stop goes unseen.
MARK_EVERY = 0.1

_Item = TypeVar("_Item")
_Cursor = TypeVar("_Cursor")
_NO_PAIR = re.compile("cannot unpack non-iterable|not enough values|too many values")


class _Name:
    """A value that is nothing but itself."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


#: In place of an item: none was found up to the cursor beside it.
SKIPPED: Final = _Name("sources.SKIPPED")
#: In place of a marker's cursor: it has not moved, since items before it are still to be done.
UNMOVED: Final = _Name("sources.UNMOVED")


class SkippingSource(Iterator[tuple[_Item, _Cursor]], Generic[_Item, _Cursor]):
    """A source whose stretches without an item can be seen.

    Iterating over it yields pairs of items and cursors only. A task in the class form that returns
    it from ``build_enumerator`` stops within such a stretch by itself.

    Args:
        marked: its pairs and markers.
        over: the source that it reads, which is closed with it.
    """

    def __init__(self, marked: Generator[tuple[Any, Any], None, None], over: object = None) -> None:
        #: Pairs and markers, for the loop and for sources over this one.
        self.marked = marked
        self._over = over

    def __iter__(self) -> SkippingSource[_Item, _Cursor]:
        return self

    def __next__(self) -> tuple[_Item, _Cursor]:
        for pair in self.marked:
            if pair[0] is not SKIPPED:
                return pair
        raise StopIteration

    def with_skipped(self) -> Generator[tuple[Any, _Cursor], None, None]:
        """Yield the pairs, and ``(SKIPPED, cursor)`` ten times a second while there is no item.

        For generator functions, where only a ``yield`` is a place to stop at::

            for item, cursor in sources.filtered(rows, wanted).with_skipped():
                if item is not sources.SKIPPED:
                    process(item)
                yield cursor
        """
        known, reached = False, None
        for item, cursor in self.marked:
            if cursor is not UNMOVED:
                known, reached = True, cursor
            if known:
                yield item, reached  # type: ignore[misc]

    def close(self) -> None:
        """Close what it has opened."""
        self.marked.close()
        close(self._over)


class MarkTimer:
    """Says when it is time for the next marker.

    Args:
        clock: returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due = clock() + MARK_EVERY

    def is_due(self) -> bool:
        """Whether it is; then the next one is due in :data:`MARK_EVERY` seconds."""
        now = self._clock()
        if now < self._due:
            return False
        self._due = now + MARK_EVERY
        return True


def marked(name: str, source: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """The pairs of a source, with its markers if it has any.

    Raises:
        SourceError: ``source`` cannot be iterated; names the source ``name`` that was given it.
    """
    try:
        pairs = iter(source)
    except TypeError as exc:
        raise SourceError(
            f"{name}: a source yields (item, cursor) pairs, and {source!r:.200} cannot be iterated"
        ) from exc
    return pairs.marked if isinstance(pairs, SkippingSource) else pairs


def close(source: object) -> None:
    """Close a source that can be closed."""
    close = getattr(source, "close", None)
    if callable(close):
        close()


def refuse_no_pair(name: str, exc: Exception) -> None:
    """Raise a clear error for an exception that the calling module got from unpacking no pair.

    Raises:
        SourceError: naming the source ``name``.
    """
    first = last = exc.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if first is None or last is None or not _NO_PAIR.match(str(exc)):
        return
    if last.tb_frame.f_code.co_filename == first.tb_frame.f_code.co_filename:
        raise SourceError(f"{name}: the source has to yield (item, cursor) pairs: {exc}") from exc

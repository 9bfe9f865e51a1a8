"""Sources over what is in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import TypeVar

from celery_graceful.errors import CursorError
from celery_graceful.text.counting import counted

#: Says how many items a batch gets, at most as many as were asked for; set where a worker runs it.
batch_sizer: ContextVar[Callable[[int], int] | None] = ContextVar(
    "celery_graceful_batch_sizer", default=None
)

_Item = TypeVar("_Item")


def sequence(items: Sequence[_Item], *, cursor: int | None = None) -> Iterator[tuple[_Item, int]]:
    """The items of a list, tuple, range or other sequence; the cursor is the item's index.

    The sequence has to be the same when the run is resumed.

    Raises:
        CursorError: the cursor is no index of ``items``.
        TypeError: ``items`` is no sequence, and so could not be resumed.
    """
    if not (hasattr(items, "__getitem__") and hasattr(items, "__len__")):
        raise TypeError(
            f"sources.sequence needs a list or another sequence, not {type(items).__name__};"
            " make a list of it, or write a source of your own"
        )
    done = whole_cursor("sources.sequence", cursor)
    if done is not None and done >= len(items):
        raise CursorError(
            f"sources.sequence: cursor {done} is beyond the last of {counted(len(items), 'item')};"
            " the sequence is not the one that the run began with"
        )
    indexes = range(0 if done is None else done + 1, len(items))
    return zip(map(items.__getitem__, indexes), indexes, strict=True)


def numbers(start: int, stop: int, *, cursor: int | None = None) -> Iterator[tuple[int, int]]:
    """The whole numbers from ``start`` up to and without ``stop``; the cursor is the number.

    A cursor below ``start`` is a start, one from ``stop`` on the end: both bounds may be moved
    while the run is under way.

    Raises:
        CursorError: the cursor is no whole number.
    """
    done = whole_cursor("sources.numbers", cursor, least=None)
    first = start if done is None else max(start, done + 1)
    left = range(first, stop)
    return zip(left, left, strict=True)


def whole_cursor(source: str, cursor: object, *, least: int | None = 0) -> int | None:
    """``cursor`` when it is a whole number of at least ``least``, or ``None``.

    Raises:
        CursorError: it is anything else; names ``source``.
    """
    if cursor is None:
        return None
    if isinstance(cursor, bool) or not isinstance(cursor, int):
        raise CursorError(
            f"{source}: the cursor must be a whole number or None, not {cursor!r};"
            " pass on the cursor that the source yielded"
        )
    if least is not None and cursor < least:
        raise CursorError(f"{source}: the cursor must be {least} or more, not {cursor}")
    return cursor

"""Sources made of other sources: one for each item of another, one after another, a part of one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from celery_graceful.errors import CursorError
from celery_graceful.sources.skipping import (
    SKIPPED,
    UNMOVED,
    MarkTimer,
    SkippingSource,
    close,
    marked,
    refuse_no_pair,
)
from celery_graceful.text.counting import agree, counted

#: Interrupted parents of which a cursor knows; only one that vanishes, or that others were inserted
#: before, is not the last.
MOST_BEGUN = 8

_Item = TypeVar("_Item")
_Cursor = TypeVar("_Cursor")
_Pairs = Generator[tuple[Any, Any], None, None]


# -- filtered --------------------------------------------------------------------------------


def filtered(
    source: Iterable[tuple[_Item, _Cursor]], predicate: Callable[[_Item], object]
) -> SkippingSource[_Item, _Cursor]:
    """The items of ``source`` for which ``predicate(item)`` is true, with its cursors.

    What is left out moves the cursor too: with the next item, and ten times a second within a long
    stretch without one. There a task in the class form can be stopped as well; in a generator
    function use :meth:`~.skipping.SkippingSource.with_skipped`. Closing it closes ``source``.

    Raises:
        TypeError: ``predicate`` is no function.
    """
    if not callable(predicate):
        raise TypeError(
            f"sources.filtered: the predicate must be a function of an item, such as"
            f" lambda row: row['active'], not {predicate!r:.200}"
        )
    return SkippingSource(_filtered(marked("sources.filtered", source), predicate), source)


def _filtered(pairs: Iterator[tuple[Any, Any]], predicate: Callable[[Any], object]) -> _Pairs:
    timer = MarkTimer()
    try:
        for item, cursor in pairs:
            if item is SKIPPED or predicate(item):
                yield item, cursor
            elif timer.is_due():
                yield SKIPPED, cursor
    except (TypeError, ValueError) as exc:
        refuse_no_pair("sources.filtered", exc)
        raise
    finally:
        close(pairs)


# -- chained ---------------------------------------------------------------------------------


def chained(
    *sources: Callable[..., Iterable[tuple[Any, Any]]], cursor: Sequence[Any] | None = None
) -> SkippingSource[Any, list[Any]]:
    """The items of several sources, one after another; the cursor is [index of the source, cursor].

    Each source is a function that is called with ``cursor=`` when its turn comes::

        sources.chained(
            lambda cursor: sources.csv_rows("customers.csv", cursor=cursor),
            partial(sources.jsonl, "more-customers.jsonl"),
            cursor=cursor,
        )

    New ones can be added at the end while a run is under way, not before or between others.

    Raises:
        CursorError: the cursor is none of this source, or there are fewer sources now.
        TypeError: an argument is no function.
    """
    name = "sources.chained"
    if not sources:
        raise TypeError(f"{name} needs at least one source")
    _check_functions(name, sources)
    if cursor is None:
        return SkippingSource(_chained(sources, 0, None))
    index, reached = _parts(name, cursor, 2, "[index, cursor of the source]")
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise _foreign(name, cursor, "[index, cursor of the source]")
    if index >= len(sources):
        raise CursorError(
            f"{name}: cursor {cursor!r:.200} is in source {index}, counted from 0, and there"
            f" {agree(len(sources), 'is', 'are')} {counted(len(sources), 'source')}; keep those"
            " that a run has read, in their order"
        )
    return SkippingSource(_chained(sources, index, reached))


def _chained(
    sources: Sequence[Callable[..., Iterable[tuple[Any, Any]]]], first: int, reached: Any
) -> _Pairs:
    name = "sources.chained"
    for index in range(first, len(sources)):
        pairs = marked(name, sources[index](cursor=reached))
        reached = None
        try:
            for item, cursor in pairs:
                yield item, cursor if cursor is UNMOVED else [index, cursor]
        except (TypeError, ValueError) as exc:
            refuse_no_pair(name, exc)
            raise
        finally:
            close(pairs)


# -- nested ----------------------------------------------------------------------------------


def nested(
    levels: Sequence[Callable[..., Iterable[tuple[Any, Any]]]],
    *,
    cursor: Sequence[Any] | None = None,
    tuples: bool = False,
) -> SkippingSource[Any, list[Any]]:
    """The items of a source for each item of another, to any depth.

    The first function is called with ``cursor=`` and returns the outer source; each further one
    gets the items of the levels above it as well, and returns the source within these::

        sources.nested(
            [
                lambda cursor: sources.files("inbox", "*.csv", cursor=cursor),
                lambda path, cursor: sources.csv_rows(path, cursor=cursor),
            ],
            cursor=cursor,
        )

    An item of a level is done when the source within it is exhausted. The cursor, ``[done, at,
    inner]``, has the cursors of the last outer item that is done and of the one under way, and that
    of the source within it, which with three levels is such a list again. When the item that was
    under way has vanished, the next one begins at its start. Items inserted before it, and behind
    what is done, are found.

    Args:
        levels: two functions or more.
        cursor: the last cursor that was yielded; ``None`` for the start.
        tuples: yield tuples of the items of all levels instead of the innermost item.

    Raises:
        CursorError: the cursor is none of this source.
        TypeError: a level is no function.
    """
    name = "sources.nested"
    if callable(levels) or len(levels) < 2:
        raise TypeError(
            f"{name} needs a list of two functions or more, such as [lambda cursor: …,"
            " lambda item, cursor: …]"
        )
    _check_functions(name, levels)
    _check_nested(cursor, len(levels), cursor)
    return SkippingSource(_level(tuple(levels), (), cursor, tuples))


def _check_nested(cursor: Any, levels: int, whole: Any) -> None:
    if cursor is None or levels == 1:
        return
    shape = "[done, at, inner]"
    if not isinstance(cursor, (list, tuple)) or len(cursor) < 3:
        raise _foreign("sources.nested", whole, shape)
    for begun in (cursor[1:3], *cursor[3:]):
        if not isinstance(begun, (list, tuple)) or len(begun) != 2:
            raise _foreign("sources.nested", whole, shape)
        _check_nested(begun[1], levels - 1, whole)


class _Begun:
    """Items of a level that were begun: their cursors, and those of the sources within them."""

    def __init__(self, cursor: Sequence[Any] | None) -> None:
        #: The cursor of the last item that is done, with all before it.
        self.done: Any = None
        at = inner = None
        others: Sequence[Any] = ()
        if cursor is not None:
            self.done, at, inner, *others = cursor
        self._all = [list(each) for each in others]
        if at is not None:
            self._all.insert(0, [at, inner])

    def take(self, at: Any) -> Any:
        """Where to begin within the item of cursor ``at``."""
        for place, (known, inner) in enumerate(self._all):
            if as_json(known) == as_json(at):
                del self._all[place]
                return inner
        return None

    def position(self, at: Any, inner: Any) -> list[Any]:
        """The cursor within the item of cursor ``at``; ``None``: between two."""
        return [self.done, at, inner, *self._all[:MOST_BEGUN]]


def _level(
    levels: tuple[Callable[..., Iterable[tuple[Any, Any]]], ...],
    above: tuple[Any, ...],
    cursor: Any,
    tuples: bool,
) -> _Pairs:
    name = "sources.nested"
    if len(levels) == 1:
        yield from _innermost(levels[0], above, cursor, tuples)
        return
    begun, timer = _Begun(cursor), MarkTimer()
    outer = marked(name, levels[0](*above, cursor=begun.done))
    try:
        for item, at in outer:
            is_empty = True
            if item is not SKIPPED:
                start = begun.take(at)
                for inner, reached in _level(levels[1:], (*above, item), start, tuples):
                    is_empty = False
                    yield inner, reached if reached is UNMOVED else begun.position(at, reached)
            elif at is UNMOVED:
                yield item, at
                continue
            begun.done = at
            if is_empty and (item is SKIPPED or timer.is_due()):
                yield SKIPPED, begun.position(None, None)
    except (TypeError, ValueError) as exc:
        refuse_no_pair(name, exc)
        raise
    finally:
        close(outer)


def _innermost(
    level: Callable[..., Iterable[tuple[Any, Any]]],
    above: tuple[Any, ...],
    cursor: Any,
    tuples: bool,
) -> _Pairs:
    pairs = marked("sources.nested", level(*above, cursor=cursor))
    try:
        if not tuples:
            yield from pairs
            return
        for item, reached in pairs:
            yield SKIPPED if item is SKIPPED else (*above, item), reached
    except (TypeError, ValueError) as exc:
        refuse_no_pair("sources.nested", exc)
        raise
    finally:
        close(pairs)


# -- cursors and functions -------------------------------------------------------------------


def as_json(value: Any) -> Any:
    """A cursor as JSON gives it back: with lists in place of tuples."""
    if isinstance(value, (list, tuple)):
        return [as_json(each) for each in value]
    if isinstance(value, dict):
        return {key: as_json(each) for key, each in value.items()}
    return value


def _check_functions(name: str, functions: Sequence[object]) -> None:
    for number, function in enumerate(functions, 1):
        if not callable(function):
            raise TypeError(
                f"{name}: source {number} must be a function that takes a cursor and returns the"
                f" source, such as lambda cursor: sources.lines(path, cursor=cursor), not"
                f" {function!r:.200}"
            )


def _parts(name: str, cursor: Any, number: int, shape: str) -> Sequence[Any]:
    if not isinstance(cursor, (list, tuple)) or len(cursor) != number:
        raise _foreign(name, cursor, shape)
    return cursor


def _foreign(name: str, cursor: Any, shape: str) -> CursorError:
    return CursorError(
        f"{name}: the cursor must be {shape} or None, not {cursor!r:.200}; pass on the cursor that"
        " the source yielded"
    )

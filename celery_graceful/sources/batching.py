"""Items of another source in lists, of a fixed size or of as many as fit into a time."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar

from celery_graceful import durations
from celery_graceful.sources.basic import batch_sizer
from celery_graceful.sources.skipping import (
    SKIPPED,
    UNMOVED,
    SkippingSource,
    close,
    marked,
    refuse_no_pair,
)

#: What the first batch with a target gets.
FIRST_SIZE = 10
#: The times of so many batches count.
BATCHES_SEEN = 10
#: The most by which a batch is larger than the one before.
MOST_GROWTH = 1.5
#: A batch that takes so many times the target is followed by one of a tenth.
FAR_OVER = 5

_Item = TypeVar("_Item")
_Cursor = TypeVar("_Cursor")


def batched(
    source: Iterable[tuple[_Item, _Cursor]],
    size: int | None = None,
    *,
    target: float | str | None = None,
) -> Iterator[tuple[list[_Item], _Cursor]]:
    """The items of ``source`` in lists: of ``size`` items, or of as many as fit into ``target``.

    The last list is shorter. In a worker that knows its grace period, lists become shorter while
    one takes longer than a fifth of it.

    With ``target``, lists begin with 10 items and size themselves, so that nine of ten take the
    task no longer than that, from getting a list to asking for the next. A list has at most 1.5
    times as many items as the one before, and a tenth after one that took five times the target.
    Each execution begins with 10 again.

    The cursor is that of the list's last item, so that a run with other batch sizes, or without,
    can resume from it. Closing it closes ``source``.

    Args:
        source: the source of the items.
        size: items per list, 1 or more; with ``target``, the most items of a list.
        target: seconds, or a text such as ``"500ms"``.

    Raises:
        ValueError: neither ``size`` nor ``target`` is given, or one of them is wrong.
    """
    return _checked("sources.batched", source, size, target)


def batches(
    source: Iterable[tuple[_Item, _Cursor]], size: int
) -> Iterator[tuple[list[_Item], _Cursor]]:
    """The same as ``batched(source, size)``."""
    return _checked("sources.batches", source, size, None)


def _checked(
    name: str,
    source: Iterable[tuple[_Item, _Cursor]],
    size: int | None,
    target: float | str | None,
) -> Iterator[tuple[list[_Item], _Cursor]]:
    if size is None and target is None:
        raise ValueError(f'{name}: give a size, as in batched(source, 100), or target="500ms"')
    if size is not None and (isinstance(size, bool) or not isinstance(size, int)):
        raise ValueError(f"{name}: the size must be a whole number, not {size!r}")
    if size is not None and size < 1:
        raise ValueError(f"{name}: the size must be 1 or more, not {size}")
    if target is None:
        assert size is not None
        return in_batches(name, source, FixedSize(size))
    try:
        seconds = durations.parse(target)
    except ValueError as exc:
        raise ValueError(f"{name}: target: {exc}") from None
    if not seconds:
        raise ValueError(f"{name}: target must be more than 0, not {target!r}")
    return in_batches(name, source, TargetSize(seconds, size))


class BatchSize(Protocol):
    """Decides how many items batches get."""

    def next(self) -> int:
        """How many items the next batch gets. The one before is done."""

    def handed_out(self, items: int) -> None:
        """A batch of so many items is handed out now."""


class FixedSize:
    """Always the same number of items."""

    def __init__(self, size: int) -> None:
        self._size = size

    def next(self) -> int:
        return self._size

    def handed_out(self, items: int) -> None:
        pass


class TargetSize:
    """As many items as are done within a time.

    Args:
        target: that time, in seconds.
        most: the most items, if there is a limit.
        clock: returns monotonic seconds.
    """

    def __init__(
        self, target: float, most: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._target = target
        self._most = most or math.inf
        self._clock = clock
        self._size = int(min(FIRST_SIZE, self._most))
        #: Seconds per item.
        self._times: deque[float] = deque(maxlen=BATCHES_SEEN)
        self._handed: tuple[int, float] | None = None

    def next(self) -> int:
        if self._handed is not None:
            items, at = self._handed
            self._handed = None
            self._note(items, self._clock() - at)
        return self._size

    def handed_out(self, items: int) -> None:
        self._handed = items, self._clock()

    def _note(self, items: int, took: float) -> None:
        if took > FAR_OVER * self._target:
            self._times.clear()
            self._size = max(1, items // 10)
            return
        self._times.append(took / items)
        each = p90(self._times)
        fitting = self._target / each if each else math.inf
        self._size = max(1, int(min(fitting, math.ceil(MOST_GROWTH * items), self._most)))


def p90(values: Iterable[float]) -> float:
    """The value that nine of ten do not exceed."""
    ordered: Sequence[float] = sorted(values)
    return ordered[math.ceil(0.9 * len(ordered)) - 1]


def in_batches(
    name: str, source: Iterable[tuple[_Item, _Cursor]], size: BatchSize
) -> Iterator[tuple[list[_Item], _Cursor]]:
    """The items of ``source`` in lists whose sizes ``size`` decides."""
    pairs = marked(name, source)
    if isinstance(source, SkippingSource):
        return SkippingSource(_skipping(name, pairs, size), source)
    return _plain(name, pairs, size)


def _plain(name: str, pairs: Iterator[tuple[Any, Any]], size: BatchSize) -> Iterator[Any]:
    allowed = batch_sizer.get() or int
    try:
        while batch := list(islice(pairs, allowed(size.next()))):
            items, reached = [item for item, _ in batch], batch[-1][1]
            size.handed_out(len(items))
            yield items, reached
    except (TypeError, ValueError) as exc:
        refuse_no_pair(name, exc)
        raise
    finally:
        close(pairs)


def _skipping(name: str, pairs: Iterator[tuple[Any, Any]], size: BatchSize) -> Any:
    allowed = batch_sizer.get() or int
    items: list[Any] = []
    reached: Any = None
    wanted = allowed(size.next())
    try:
        for item, cursor in pairs:
            if item is SKIPPED:
                if cursor is not UNMOVED:
                    reached = cursor
                yield SKIPPED, UNMOVED if items else cursor
                continue
            items.append(item)
            reached = cursor
            if len(items) < wanted:
                continue
            size.handed_out(len(items))
            yield items, reached
            items, wanted = [], allowed(size.next())
        if items:
            yield items, reached
    except (TypeError, ValueError) as exc:
        refuse_no_pair(name, exc)
        raise
    finally:
        close(pairs)

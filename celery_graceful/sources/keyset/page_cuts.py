"""Ends a page early, when a commit has made its objects stale: the rest is read anew.

The page's list is emptied while the loop is over it, so that nothing is tested per row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

#: Entered while the rows of a page are worked on; calls what it is given when they are stale.
Watch: TypeAlias = Callable[[Callable[[], None]], AbstractContextManager[object]]


class CutPage:
    """The items of one page, which end when :meth:`cut` is called.

    Args:
        items: the list, which is emptied then.
    """

    def __init__(self, items: list[Any]) -> None:
        self._items = items
        self._left: Iterator[Any] = iter(items)
        #: How many were taken before the cut; ``None``: it was not cut.
        self.taken: int | None = None

    def __iter__(self) -> Iterator[Any]:
        return self._left

    def cut(self) -> None:
        """End the items before the next one."""
        state = self._left.__reduce__()
        # Without a position, all were taken.
        if self.taken is None and isinstance(state, tuple) and len(state) > 2:
            self.taken = int(state[2])
            self._items.clear()

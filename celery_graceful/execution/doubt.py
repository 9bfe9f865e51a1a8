"""Which one item may have run already: recorded before it begins, told to the next execution."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any


class Doubt:
    """One execution's knowledge of items that began and were not seen to end.

    Args:
        item: the cursor of the item in doubt, as the last checkpoint has it; ``None``: none is.
    """

    def __init__(self, item: Any) -> None:
        self.item = item
        self._under_way: Any = None

    @property
    def to_save(self) -> Any:
        """What the next execution has to know, if nothing more is saved."""
        return self.item if self._under_way is None else self._under_way

    def begins(self, cursor: Any) -> None:
        """The item of ``cursor`` is about to run."""
        self._under_way = cursor

    def not_begun(self) -> None:
        """It does not run after all."""
        self._under_way = None

    def done(self) -> None:
        """What was under way is done."""
        if self._under_way is None or self._under_way == self.item:
            self.item = None
        self._under_way = None


def announced(
    pairs: Iterator[Any],
    about_to_run: Callable[[Any], None],
    named: Callable[[Any, Any], Any] = lambda item, cursor: cursor,
) -> Generator[Any, None, None]:
    """Yield (item, cursor) pairs, each after ``about_to_run`` was told its name: its cursor."""
    for pair in pairs:
        try:
            item, cursor = pair
        except (TypeError, ValueError):
            yield pair  # the loop says what is wrong with it
            return
        about_to_run(named(item, cursor))
        yield pair

"""What a test remembers of an item: enough to compare and to show it, and no reference to it."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

#: Longer texts are kept as their beginning and a digest.
LONGEST = 120
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")


class Seen(NamedTuple):
    """An item that was done, and the cursor that names it."""

    cursor: str
    #: ``None`` for generators, whose items nobody else sees.
    item: str | None = None

    def __str__(self) -> str:
        return self.cursor if self.item in (None, self.cursor) else f"{self.item} ({self.cursor})"


def mark(value: Any) -> str:
    """A text that is the same for equal values, however they are changed later.

    Objects without a text of their own are known by their type alone.
    """
    if getattr(type(value), "__repr__", None) is object.__repr__:
        return f"<{type(value).__qualname__}>"
    try:
        text = _ADDRESS.sub("", repr(value))
    except Exception as exc:
        return f"<{type(value).__qualname__}, whose repr raises {type(exc).__name__}>"
    if len(text) <= LONGEST:
        return text
    digest = hashlib.sha1(text.encode(errors="replace"), usedforsecurity=False).hexdigest()[:8]
    return f"{text[:LONGEST]}… #{digest}"


def moved_in(seen: Sequence[Seen]) -> frozenset[int]:
    """The places, from 1, where the cursor is another than an item before."""
    cursors = [None, *(one.cursor for one in seen)]
    return frozenset(i for i in range(1, len(cursors)) if cursors[i] != cursors[i - 1])


def snapshot(value: Any) -> Any:
    """The value as it is now: a list or dict that goes on changing is copied."""
    try:
        return copy.deepcopy(value)
    except Exception:
        return value  # such as what holds a connection

"""A source that is interrupted: what comes before and after, with cursors as a store keeps them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

#: Makes the source anew, as each execution does, from its argument ``cursor``.
Source = Callable[..., Iterable[tuple[Any, Any]]]


def saved(cursor: Any) -> Any:
    """The cursor as a checkpoint gives it back."""
    return json.loads(json.dumps(cursor))


def check_every_cut(source: Source, expected: list[Any], name: Callable[[Any], Any]) -> None:
    """Whichever item is the last before an interruption, all others follow, in order.

    Args:
        source: makes the source.
        expected: the names of its items, as a plain loop has them.
        name: of an item.
    """
    pairs = list(source(cursor=None))
    assert [name(item) for item, _ in pairs] == expected
    cursors = [json.dumps(cursor) for _, cursor in pairs]
    assert len(set(cursors)) == len(cursors), "two items have the same cursor"
    for done, (_, cursor) in enumerate(pairs, 1):
        rest = [name(item) for item, _ in source(cursor=saved(cursor))]
        assert rest == expected[done:], f"after {cursor}"

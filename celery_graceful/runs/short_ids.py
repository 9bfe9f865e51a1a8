"""Ids by their first characters: as few as name one run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import takewhile

#: Ids that are asked for each prefix. Where so many begin with it, the id stays whole.
AT_MOST = 50

#: Fewer characters than this are easily mistaken for those of another run.
_LEAST = 8
#: For more runs than this nobody is asked: their ids stay whole.
_MOST_LOOKED_UP = 500


def shortened(
    ids: Sequence[str], others: Callable[[str], Collection[str]] | None = None
) -> list[str]:
    """The ids by prefixes, each of which none of the others begins with.

    Args:
        ids: of the runs that are shown; one may be there twice, and stays whole then.
        others: up to :data:`AT_MOST` ids of the store that begin with a prefix; ``None``: there are
            none but those that are shown.
    """
    if others is not None and len(ids) > _MOST_LOOKED_UP:
        return list(ids)
    order = sorted(ids)
    near = {one: order[max(0, at - 1) : at + 2] for at, one in enumerate(order)}
    return [_prefix(one, near[one], others) for one in ids]


def _prefix(one: str, near: Sequence[str], others: Callable[[str], Collection[str]] | None) -> str:
    if near.count(one) > 1:
        return one
    prefix = _beyond(one, near)
    if others is not None and prefix != one:
        found = others(prefix)
        return one if len(found) >= AT_MOST else _beyond(one, [*near, *found])
    return prefix


def _beyond(one: str, near: Collection[str]) -> str:
    """The first characters of one that none of the others begins with."""
    common = max((_common(one, other) for other in near if other != one), default=0)
    return one[: max(_LEAST, common + 1)]


def _common(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

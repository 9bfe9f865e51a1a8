"""Ids by their first characters: as few as name one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile

#: Ids that are asked for each prefix. Where so many begin with it, the id stays whole.
AT_MOST = 50

#: Fewer characters than this are easily mistaken for those of another run.
_LEAST = 8
#: For more runs than this the store is not asked: their ids stay whole.
_MOST_ASKED = 500


def shortened(ids: Sequence[str], named: Callable[[str], Sequence[str]]) -> list[str]:
    """The ids by prefixes, each of which no other id of the store begins with.

    Args:
        ids: of the runs that are shown.
        named: up to :data:`AT_MOST` ids of the store that begin with a prefix. One that two tasks
            have is there twice, and stays whole.
    """
    if len(ids) > _MOST_ASKED:
        return list(ids)
    return [_prefix(one, named(one[:_LEAST])) for one in ids]


def _prefix(one: str, similar: Sequence[str]) -> str:
    if len(similar) >= AT_MOST or similar.count(one) > 1:
        return one
    common = max((_common(one, other) for other in similar if other != one), default=0)
    return one[: max(_LEAST, common + 1)]


def _common(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

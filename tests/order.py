"""The order of the tests where several processes run them: the long ones first in each.

xdist gives each process one part of the list; who has run out takes over what others have left.
So what is left at the end should be short.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pytest

T = TypeVar("T")


def reorder(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests with real workers at the beginning of each process's part."""
    count = getattr(config, "workerinput", {}).get("workercount", 1)
    if count > 1:
        # RabbitMQ takes seconds to start: not in all of them.
        items.sort(key=lambda item: not needs_rabbitmq(item))
        long = ["acceptance" in item.path.parts for item in items]
        items[:] = dealt(
            [item for item, is_long in zip(items, long, strict=True) if is_long],
            [item for item, is_long in zip(items, long, strict=True) if not is_long],
            count,
        )


def needs_rabbitmq(item: pytest.Item) -> bool:
    """Whether a test is marked so, or has one of the server's fixtures."""
    names = getattr(item, "fixturenames", ())
    return bool(item.get_closest_marker("rabbitmq")) or any("rabbit" in name for name in names)


def dealt(first: Sequence[T], then: Sequence[T], count: int) -> list[T]:
    """``count`` parts in a row, each with its share of ``first`` before its share of ``then``."""
    found: list[T] = []
    for part in range(count):
        for each in (first, then):
            found += each[part * len(each) // count : (part + 1) * len(each) // count]
    return found

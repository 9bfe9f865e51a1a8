"""The order of the tests where several processes run them: the long ones first in each.

xdist gives each process one part of the list; who has run out takes over what others have left.
So what is left at the end should be short.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

import pytest

T = TypeVar("T")

_ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")


def reorder(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests with real workers at the beginning of each process's part."""
    count = getattr(config, "workerinput", {}).get("workercount", 1)
    if count > 1:
        # RabbitMQ takes seconds to start: not in all of them.
        items.sort(key=lambda item: not needs_rabbitmq(item))
        browser = [item for item in items if needs_browser(item)]
        others = [item for item in items if not needs_browser(item)]
        long = ["acceptance" in item.path.parts for item in others]
        found = dealt(
            [item for item, is_long in zip(others, long, strict=True) if is_long],
            [item for item, is_long in zip(others, long, strict=True) if not is_long],
            count,
        )
        items[:] = in_last_part(browser, found, count)


def needs_rabbitmq(item: pytest.Item) -> bool:
    """Whether a test is marked so, or has one of the server's fixtures."""
    names = getattr(item, "fixturenames", ())
    return bool(item.get_closest_marker("rabbitmq")) or any("rabbit" in name for name in names)


def needs_browser(item: pytest.Item) -> bool:
    """Whether a test drives a browser."""
    return "chromium" in getattr(item, "fixturenames", ())


def in_last_part(block: Sequence[T], rest: Sequence[T], count: int) -> list[T]:
    """``rest`` with ``block`` in one piece, where the last of ``count`` processes begins.

    So one process has them all: one browser, one scene. Others take from the end of its part.
    """
    # A few tests later: xdist's parts may begin a test or two from where ours do.
    at = min(len(rest), (count - 1) * (len(block) + len(rest)) // count + count)
    return [*rest[:at], *block, *rest[at:]]


def refuse_addresses(report: pytest.CollectReport) -> None:
    """Make a collection fail whose tests have the address of an object in their ids.

    Each process has another address, so xdist would end the run: "different tests were collected".
    """
    bad = [each.nodeid for each in report.result if _ADDRESS.search(each.nodeid)]
    if bad:
        report.outcome = "failed"
        report.longrepr = (
            "The id of a test holds an object's address, which differs in each process of a run: "
            f"{', '.join(bad)}. Give its parameter an id: pytest.param(..., id=...), or ids=."
        )


def dealt(first: Sequence[T], then: Sequence[T], count: int) -> list[T]:
    """``count`` parts in a row, each with its share of ``first`` before its share of ``then``."""
    found: list[T] = []
    for part in range(count):
        for each in (first, then):
            found += each[part * len(each) // count : (part + 1) * len(each) // count]
    return found

"""Which ways to end a run's executions are tried, and how a trial is called."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from celery_graceful.testing.staged_execution import Ending, How

#: Items that are killed with a half-changed carry, of those that could be.
MOST_TERMINATED = 5


class Trial(NamedTuple):
    """One run, and how each of its executions but the last is ended."""

    what: str
    endings: Sequence[Ending]


def spread(first: int, last: int, limit: int) -> list[int]:
    """At most ``limit`` of the numbers from ``first`` to ``last``, both among them."""
    count = last - first + 1
    if count <= limit:
        return list(range(first, last + 1))
    return [first + round(i * (count - 1) / (limit - 1)) for i in range(limit)]


def trials(
    items: int, moved: Collection[int], *, limit: int, crashes: bool, inside: bool, flush_every: int
) -> Iterator[Trial]:
    """All trials of a run of so many items.

    Args:
        items: how many items an undisturbed run has.
        moved: the places where the cursor is another than an item before.
        limit: how many places are tried, of each kind.
        crashes: whether executions are killed as well.
        inside: whether they can be killed within an item.
        flush_every: items between two saved checkpoints.
    """
    # After one item, a cursor that is not passed on and one that is inclusive look the same:
    # other places tell more.
    places = sorted(spread(0, items, limit), key=lambda place: place == 1)
    for place in places:
        yield Trial(f"interrupted {_after(place, items)}", [Ending(How.STOPPED, place)])
    row = [place for place in sorted(places) if place and place in moved]
    which = "each item" if len(places) == items + 1 else f"items {', '.join(map(str, row))}"
    if row:
        yield Trial(f"interrupted after {which} in a row", [Ending(How.STOPPED, k) for k in row])
    if not crashes:
        return
    for place in places:
        if place:
            yield from _killed(place, items, inside, flush_every)


def _killed(place: int, items: int, inside: bool, flush_every: int) -> Iterator[Trial]:
    before = place - 1
    saved = f"its last checkpoint saved {_after(before, items)}"
    yield Trial(f"crashed {_after(place, items)}, {saved}", [Ending(How.KILLED, place, before)])
    long_ago = before - before % flush_every
    if long_ago < before:
        saved = f"its last checkpoint saved {_after(long_ago, items)}"
        ending = Ending(How.KILLED, place, long_ago)
        yield Trial(f"crashed {_after(place, items)}, {saved}", [ending])
    if inside:
        what = f"crashed inside item {place} of {items}, when its work was done"
        yield Trial(what, [Ending(How.KILLED_INSIDE, place, before)])


def terminated_trials(found: Collection[int], items: int) -> Iterator[Trial]:
    """Trials of items that change the carry and then still work."""
    numbers = sorted(number for number in found if number <= items)
    for index in spread(0, len(numbers) - 1, MOST_TERMINATED):
        place = numbers[index]
        what = f"terminated (SIGTERM) inside item {place} of {items}, after a change of its carry"
        yield Trial(what, [Ending(How.TERMINATED, place)])


def _after(place: int, items: int) -> str:
    return f"after item {place} of {items}" if place else "before the first item"

"""What stores share when they list records."""

from __future__ import annotations

from collections.abc import Iterable

from celery_graceful.model.run.record import Record, RunKey, State
from celery_graceful.stores.base import Listed
from celery_graceful.stores.paging import AT_ONCE, Entry, Page, collect

RUNNING = Record(State.RUNNING)


def numbered(numbers: Iterable[int]) -> list[Entry]:
    """Runs by their numbers; every damaged one is ``None``."""
    return [Listed(RunKey("t", str(number)), RUNNING, 0.0) for number in numbers]


def test_a_long_listing_is_read_in_pages_each_behind_the_last() -> None:
    asked: list[tuple[object, int]] = []

    def fetch(after: tuple[int] | None, count: int) -> Page:
        asked.append((after, count))
        first = 0 if after is None else after[0] + 1
        last = min(first + count, 600)
        return Page(numbered(range(first, last)), (last - 1,) if last < 600 else None)

    assert [int(run.id) for run, *_ in collect(550, fetch)] == list(range(550))
    assert asked == [(None, AT_ONCE), ((249,), AT_ONCE), ((499,), 50)]


def test_pages_that_are_short_since_their_records_are_large_do_not_end_a_listing() -> None:
    def fetch(after: tuple[int] | None, count: int) -> Page:
        first = 0 if after is None else after[0] + 1
        last = min(first + min(count, 4), 3000)
        return Page(numbered(range(first, last)), (last - 1,) if last < 3000 else None)

    assert [int(run.id) for run, *_ in collect(2500, fetch)] == list(range(2500))


def test_damaged_records_do_not_hide_the_others() -> None:
    """The first 1,000 cannot be read, and one is asked for: pages grow."""
    pages = []

    def fetch(after: tuple[int] | None, count: int) -> Page:
        first = 0 if after is None else after[0] + 1
        pages.append(count)
        entries: list[Entry] = [
            entry if int(entry.key.id) >= 1000 else None
            for entry in numbered(range(first, first + count))
            if entry is not None
        ]
        return Page(entries, (first + count - 1,))

    assert [run.id for run, *_ in collect(1, fetch)] == ["1000"]
    assert len(pages) <= 6


def test_a_listing_of_nothing_but_damage_ends() -> None:
    pages = []

    def fetch(after: tuple[int] | None, count: int) -> Page:
        pages.append(count)
        return Page([None] * count, (len(pages),))

    assert collect(10, fetch) == []
    assert len(pages) <= 60

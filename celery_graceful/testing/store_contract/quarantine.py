"""What every store promises of quarantined items."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from celery_graceful.model.run.record import RunKey, State
from celery_graceful.stores.base import Store
from celery_graceful.testing.store_contract.samples import RUN, RUNNING, put, until

LONG = 600.0


def kept(store: Store, *ordinals: int, run: RunKey = RUN, keep: float = LONG) -> None:
    for ordinal in ordinals:
        assert store.quarantine(run, 1, ordinal, f"entry {ordinal} é\u0000", keep=keep)


def ordinals(store: Store, run: RunKey = RUN, first: int = -1, limit: int = 99) -> list[int]:
    return [ordinal for ordinal, _ in store.quarantined(run, first, limit)]


class QuarantineContract:
    def test_entries_come_back_by_their_ordinals(self, store: Store) -> None:
        put(store)
        kept(store, 10, 9, 2**40, -1)
        assert store.quarantined(RUN, -1, 99)[0] == (-1, "entry -1 é\u0000")
        assert ordinals(store) == [-1, 9, 10, 2**40]
        assert ordinals(store, first=10) == [10, 2**40]
        assert ordinals(store, limit=2) == [-1, 9]
        assert ordinals(store, limit=0) == []

    def test_an_entry_is_replaced(self, store: Store) -> None:
        put(store)
        kept(store, 3)
        assert store.quarantine(RUN, 1, 3, "other", keep=LONG)
        assert store.quarantined(RUN, 0, 9) == [(3, "other")]

    def test_only_the_owner_quarantines(self, store: Store) -> None:
        put(store)
        assert not store.quarantine(RUN, 2, 3, "entry", keep=LONG), "another fence"
        other = RunKey("other", "run")
        put(store, replace(RUNNING, state=State.INTERRUPTED), run=other)
        assert not store.quarantine(other, 1, 3, "entry", keep=LONG), "it does not run"
        assert not store.quarantine(RunKey("no", "run"), 1, 3, "entry", keep=LONG)
        assert ordinals(store) == ordinals(store, other) == []

    def test_entries_are_dropped(self, store: Store) -> None:
        put(store)
        kept(store, *range(5))
        store.drop_quarantined(RUN, [1, 3, 77])
        store.drop_quarantined(RUN, [])
        assert ordinals(store) == [0, 2, 4]
        store.drop_quarantined(RunKey("no", "run"), [1])

    def test_only_the_owner_drops_under_its_fence(self, store: Store) -> None:
        put(store)
        kept(store, 1, 2)
        store.drop_quarantined_range(RUN, 1, 1, fence=2)
        assert ordinals(store) == [1, 2]
        store.drop_quarantined_range(RUN, 1, 1, fence=1)
        assert ordinals(store) == [2]

    def test_entries_outlive_the_run_and_end_by_themselves(self, store: Store) -> None:
        put(store)
        kept(store, 1, keep=2)
        kept(store, 2, keep=LONG)
        ended = replace(RUNNING, state=State.ENDED, owner=None, envelope=b"")
        assert store.swap(RUN, 1, ended, keep=LONG).done
        assert ordinals(store)[-1:] == [2]
        store.expire_quarantined(RUN, keep=0.3)
        until(lambda: not ordinals(store), "that they are forgotten")
        store.expire_quarantined(RUN, keep=LONG)
        assert ordinals(store) == []
        assert store.count_quarantined(RUN, -1, 99) == 0

    def test_entries_of_an_expired_list_do_not_come_back(self, store: Store) -> None:
        put(store)
        kept(store, 1, 2, keep=0.3)
        until(lambda: not ordinals(store), "that they are forgotten")
        kept(store, 3)
        assert ordinals(store) == [3]

    def test_an_entry_does_not_shorten_the_life_of_others(self, store: Store) -> None:
        put(store)
        kept(store, 1)
        kept(store, 2, keep=0.1)
        time.sleep(0.2)
        assert ordinals(store)[:1] == [1]

    def test_entries_are_counted_up_to_a_limit(self, store: Store) -> None:
        put(store)
        kept(store, -1, 0, 7, 2**40)
        assert store.count_quarantined(RUN, -1, 99) == 4
        assert store.count_quarantined(RUN, 0, 99) == 3
        assert store.count_quarantined(RUN, 0, 2) == 2
        assert store.count_quarantined(RUN, 8, 0) == 0
        assert store.count_quarantined(RunKey("no", "run"), 0, 99) == 0

    def test_a_range_is_dropped(self, store: Store) -> None:
        put(store)
        kept(store, -1, *range(10))
        store.drop_quarantined_range(RUN, 3, 5)
        assert ordinals(store) == [-1, 0, 1, 2, 6, 7, 8, 9]
        store.drop_quarantined_range(RUN, 7)
        assert ordinals(store) == [-1, 0, 1, 2, 6]
        store.drop_quarantined_range(RUN, 0, fence=2)
        assert ordinals(store) == [-1, 0, 1, 2, 6], "another fence"
        store.drop_quarantined_range(RUN, 0, 1, fence=1)
        assert ordinals(store) == [-1, 2, 6]
        store.drop_quarantined_range(RunKey("no", "run"), 0)

    @pytest.mark.parametrize("order", ["rising", "falling", "mixed"])
    def test_many_entries_in_any_order(self, store: Store, order: str) -> None:
        put(store)
        there = [3 * n for n in range(1200)]
        turned = {"rising": there, "falling": there[::-1], "mixed": there[::2] + there[1::2][::-1]}
        kept(store, *turned[order])
        assert ordinals(store, limit=2000) == there
        assert ordinals(store, first=1501, limit=3) == [1503, 1506, 1509]
        assert store.count_quarantined(RUN, 1, 2000) == 1199
        store.drop_quarantined(RUN, there[1::2])
        assert ordinals(store, limit=2000) == there[::2]
        store.expire_quarantined(RUN, keep=LONG)
        store.drop_quarantined_range(RUN, 601, 2998)
        left = [n for n in there[::2] if not 601 <= n <= 2998]
        assert ordinals(store, limit=2000) == left
        kept(store, *there[100:900])
        assert ordinals(store, limit=2000) == sorted({*left, *there[100:900]})
        store.drop_quarantined_range(RUN, -1)
        assert ordinals(store, limit=2000) == []

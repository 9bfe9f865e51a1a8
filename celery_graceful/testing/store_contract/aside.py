"""What every store promises of items put aside."""

from __future__ import annotations

from dataclasses import replace

from celery_graceful.model.record import RunKey, State
from celery_graceful.stores.base import Store
from celery_graceful.testing.store_contract.samples import RUN, RUNNING, put, until

LONG = 600.0


def kept(store: Store, *ordinals: int, run: RunKey = RUN, keep: float = LONG) -> None:
    for ordinal in ordinals:
        assert store.put_aside(run, 1, ordinal, f"entry {ordinal} é\u0000", keep=keep)


def ordinals(store: Store, run: RunKey = RUN, first: int = -1, limit: int = 99) -> list[int]:
    return [ordinal for ordinal, _ in store.aside(run, first, limit)]


class AsideContract:
    def test_entries_come_back_by_their_ordinals(self, store: Store) -> None:
        put(store)
        kept(store, 10, 9, 2**40, -1)
        assert store.aside(RUN, -1, 99)[0] == (-1, "entry -1 é\u0000")
        assert ordinals(store) == [-1, 9, 10, 2**40]
        assert ordinals(store, first=10) == [10, 2**40]
        assert ordinals(store, limit=2) == [-1, 9]
        assert ordinals(store, limit=0) == []

    def test_an_entry_is_replaced(self, store: Store) -> None:
        put(store)
        kept(store, 3)
        assert store.put_aside(RUN, 1, 3, "other", keep=LONG)
        assert store.aside(RUN, 0, 9) == [(3, "other")]

    def test_only_the_runner_puts_aside(self, store: Store) -> None:
        put(store)
        assert not store.put_aside(RUN, 2, 3, "entry", keep=LONG), "another fence"
        other = RunKey("other", "run")
        put(store, replace(RUNNING, state=State.HANDED_OVER), run=other)
        assert not store.put_aside(other, 1, 3, "entry", keep=LONG), "it does not run"
        assert not store.put_aside(RunKey("no", "run"), 1, 3, "entry", keep=LONG)
        assert ordinals(store) == ordinals(store, other) == []

    def test_entries_are_dropped(self, store: Store) -> None:
        put(store)
        kept(store, *range(5))
        store.drop_aside(RUN, [1, 3, 77])
        store.drop_aside(RUN, [])
        assert ordinals(store) == [0, 2, 4]
        store.drop_aside(RunKey("no", "run"), [1])

    def test_only_the_runner_drops_under_its_fence(self, store: Store) -> None:
        put(store)
        kept(store, 1, 2)
        store.drop_aside(RUN, [1], fence=2)
        assert ordinals(store) == [1, 2]
        store.drop_aside(RUN, [1], fence=1)
        assert ordinals(store) == [2]

    def test_entries_outlive_the_run_and_end_by_themselves(self, store: Store) -> None:
        put(store)
        kept(store, 1, keep=2)
        kept(store, 2, keep=LONG)
        ended = replace(RUNNING, state=State.ENDED, owner=None, envelope=b"")
        assert store.swap(RUN, 1, ended, keep=LONG).done
        assert ordinals(store) == [1, 2], "the second has prolonged the first"
        store.keep_aside(RUN, keep=0.3)
        until(lambda: not ordinals(store), "that they are forgotten")
        store.keep_aside(RUN, keep=LONG)
        assert ordinals(store) == []

"""What every store answers about its tabs: counts, and listings that may leave out what is not
looked for. A store that offers neither passes too: its listings are read through.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.model.run_options import RunOptions
from celery_graceful.stores.base import Listed, Store
from celery_graceful.stores.tabs import ANY, Counts, Only, Tab, browse, counts_of
from celery_graceful.testing.store_contract.samples import OWNER, RUNNING, put, read, until

PAUSED = replace(RUNNING, state=State.PAUSED, owner=None)
COMPLETED = Record(State.ENDED, fence=1, outcome=Outcome.COMPLETED, started_at=12.5)
FAILED = replace(COMPLETED, outcome=Outcome.FAILED, reason='"outcome":"completed"')
CANCELLED = replace(COMPLETED, outcome=Outcome.CANCELLED, reason='"outcome":"failed"')


def key(name: str) -> RunKey:
    return RunKey("t", name)


def all_of(store: Store, tab: Tab, limit: int = 2, only: Only = ANY) -> Iterator[Listed]:
    """A tab, part by part."""
    after = None
    for _ in range(1000):
        part = browse(store, tab, limit, after, only)
        assert len(part.rows) <= limit
        yield from part.rows
        after = part.next
        if after is None:
            return
    raise AssertionError("the listing does not end")


def ids_of(store: Store, tab: Tab, limit: int = 2, only: Only = ANY) -> list[str]:
    return [row.key.id for row in all_of(store, tab, limit, only)]


class TabContract:
    def test_nothing_is_counted_at_first(self, store: Store) -> None:
        assert counts_of(store) == Counts(0, 0, 0, 0)
        for tab in Tab:
            assert browse(store, tab, 5)[:2] == ([], None)

    def test_counts_follow_each_change(self, store: Store) -> None:
        run = key("a")
        for expected, (record, keep, counts) in enumerate(
            [
                (RUNNING, None, Counts(1, 0, 0, 0)),
                (PAUSED, None, Counts(0, 1, 0, 0)),
                (replace(PAUSED, reason="still"), None, Counts(0, 1, 0, 0)),
                (RUNNING, None, Counts(1, 0, 0, 0)),
                (FAILED, 60.0, Counts(0, 0, 1, 1)),
                (RUNNING, None, Counts(1, 0, 0, 0)),
                (PAUSED, None, Counts(0, 1, 0, 0)),
                (CANCELLED, 60.0, Counts(0, 0, 0, 1)),
                (FAILED, 90.0, Counts(0, 0, 1, 1)),
                (COMPLETED, 60.0, Counts(0, 0, 0, 1)),
                (PAUSED, None, Counts(0, 1, 0, 0)),
                (FAILED, 60.0, Counts(0, 0, 1, 1)),
            ]
        ):
            assert store.swap(run, expected, record, keep=keep).done
            assert counts_of(store) == counts, expected
            tabs = {tab for tab in Tab if [*all_of(store, tab)]}
            assert tabs == {tab for tab in Tab if tab.holds(record)}, expected
        put(store, run=key("b"))
        put(store, PAUSED, run=key("c"), due_in=None)
        assert counts_of(store) == Counts(1, 1, 1, 1)

    def test_paused_runs_come_by_when_they_began(self, store: Store) -> None:
        for name, began in [("b", 30.25), ("a", 10.5), ("d", 40.0), ("c", 20.0)]:
            put(store, replace(PAUSED, started_at=began), key(name), due_in=None)
            put(store, run=key(f"other {name}"))
        assert ids_of(store, Tab.PAUSED) == ids_of(store, Tab.PAUSED, 1) == ["a", "c", "b", "d"]
        part = browse(store, Tab.PAUSED, 2)
        assert part.rows == [
            Listed(key(n), read(store, key(n)), at) for n, at in (("a", 10.5), ("c", 20.0))
        ]
        assert store.swap(key("c"), 1, RUNNING).done
        assert store.swap(key("b"), 1, RUNNING).done
        rest = browse(store, Tab.PAUSED, 9, part.next)
        assert ([row.key.id for row in rest.rows], rest.next) == (["d"], None)

    def test_failed_runs_come_by_until_when_they_are_kept(self, store: Store) -> None:
        for name, keep in [("b", 60), ("a", 90), ("d", 20), ("c", 30)]:
            store.swap(key(name), 0, FAILED, keep=keep)
            store.swap(key(f"other {name}"), 0, CANCELLED, keep=keep)
        assert ids_of(store, Tab.FAILED) == ids_of(store, Tab.FAILED, 1) == ["a", "b", "c", "d"]
        part = browse(store, Tab.FAILED, 2)
        assert part.rows == [row for row in store.ended(99) if row.key.id in "ab"]
        assert store.swap(key("b"), 1, RUNNING).done
        assert store.swap(key("c"), 1, FAILED, keep=200).done
        rest = browse(store, Tab.FAILED, 9, part.next)
        assert ([row.key.id for row in rest.rows], rest.next) == (["d"], None)

    def test_what_is_forgotten_is_not_counted(self, store: Store) -> None:
        store.swap(key("brief"), 0, FAILED, keep=0.3)
        store.swap(key("again"), 0, FAILED, keep=0.3)
        store.swap(key("long"), 0, FAILED, keep=60)
        until(lambda: counts_of(store) == Counts(0, 0, 1, 1), "the brief ones to be forgotten")
        put(store, run=key("again"))
        assert counts_of(store) == Counts(1, 0, 1, 1)
        assert ids_of(store, Tab.FAILED) == ids_of(store, Tab.ENDED) == ["long"]

    def test_live_and_ended_runs_come_in_the_order_of_their_listings(self, store: Store) -> None:
        for number in range(7):
            put(store, replace(RUNNING, started_at=float(number // 2)), key(f"{number}"))
            store.swap(key(f"e{number}"), 0, COMPLETED, keep=60 + number)
        assert [*all_of(store, Tab.LIVE, 3)] == store.live(99)
        assert [*all_of(store, Tab.ENDED, 3)] == store.ended(99)
        now = browse(store, Tab.LIVE, 1).now
        assert 0 <= store.load(key("none")).now - now < 60

    @pytest.mark.parametrize(
        ("tab", "only", "fits"),
        [
            (Tab.LIVE, Only(task="a:b"), {"task"}),
            (Tab.LIVE, Only(task="a"), set()),
            (Tab.LIVE, Only(states=frozenset({State.RETRYING, State.FINISHING})), {"retrying"}),
            (Tab.LIVE, Only(worker="celery@w"), {"owned", "part"}),
            (Tab.LIVE, Only(worker="celery@w/4f"), {"owned"}),
            (Tab.LIVE, Only(extra='\\"up:1\\"'), {"tagged"}),
            (Tab.LIVE, Only(text="YÉ\u0130"), {"Yé\u0130"}),
            (Tab.LIVE, Only(text="b[TAS"), {"task"}),
            (Tab.LIVE, Only(text="w/4f"), {"owned"}),
            (Tab.LIVE, Only(since=50.0), {"late"}),
            (Tab.LIVE, Only(enveloped=True), {"late"}),
            (Tab.ENDED, Only(outcome=Outcome.CANCELLED), {"cancelled"}),
            (Tab.ENDED, Only(outcome=Outcome.COMPLETED), {"completed"}),
            (Tab.FAILED, Only(since=50.0), set()),
        ],
    )
    def test_what_is_looked_for_is_found(
        self, store: Store, tab: Tab, only: Only, fits: set[str]
    ) -> None:
        """What does not fit may be left out."""
        plain = replace(RUNNING, envelope=b"")
        put(store, plain, RunKey("a:b", "task"))
        put(store, replace(plain, state=State.RETRYING, owner=None), key("retrying"))
        put(store, replace(plain, owner="celery@w/4f"), key("owned"))
        put(store, replace(plain, owner="celery@w"), key("part"))
        put(store, replace(plain, owner="celery@w2/4f"), key("other"))
        put(store, replace(plain, options=RunOptions(tags=("up:1",)).text()), key("tagged"))
        put(store, plain, key("Yé\u0130"))
        put(store, replace(RUNNING, started_at=60.0), key("late"))
        for name, record in (
            ("failed", FAILED),
            ("cancelled", CANCELLED),
            ("completed", COMPLETED),
        ):
            store.swap(key(name), 0, record, keep=60)
        assert OWNER != "celery@w"
        found = ids_of(store, tab, 2, only)
        assert fits <= {*found}
        assert len(found) == len({*found})

    def test_few_among_many_are_found(self, store: Store) -> None:
        for number in range(700):
            task = "rare" if number in (0, 333, 699) else "t"
            put(store, replace(RUNNING, started_at=1.0), RunKey(task, f"{number:03}"))
        found = [*all_of(store, Tab.LIVE, 250, Only(task="rare"))]
        assert [row.key.id for row in found if row.key.task == "rare"] == ["000", "333", "699"]

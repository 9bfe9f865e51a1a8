"""What every store answers about many runs, and its life."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.stores.base import Store
from celery_graceful.testing.store_contract.samples import (
    RUN,
    RUNNING,
    listed,
    put,
    read,
    until,
    until_due,
)

ENDED = Record(State.ENDED, fence=1, outcome=Outcome.COMPLETED, started_at=12.5)


class ListContract:
    def test_the_longest_overdue_come_first(self, store: Store) -> None:
        for name, due_in in [("b", -2), ("d", 60), ("a", -3), ("c", -1), ("e", None)]:
            store.swap(RunKey("t", name), 0, RUNNING, due_in=due_in)
        assert [run.id for run, _ in store.due(9)] == ["a", "b", "c"]
        assert [run.id for run, _ in store.due(2)] == ["a", "b"]
        assert store.due(0) == []
        run, record = store.due(1)[0]
        assert record == read(store, run)

    def test_a_swap_without_due_in_is_never_due(self, store: Store) -> None:
        put(store, due_in=-1)
        store.swap(RUN, 1, RUNNING)
        assert store.due(5) == []
        assert read(store).due_at is None

    def test_live_runs_come_by_the_time_they_began(self, store: Store) -> None:
        for name, began, due_in in [
            ("b", 30.25, 60),
            ("a", 10.5, None),
            ("d", 40, 9),
            ("c", 20, 9),
        ]:
            begun = replace(RUNNING, started_at=began)
            store.swap(RunKey("t", name), 0, begun, due_in=due_in)
        store.swap(RunKey("t", "d"), 1, ENDED, keep=60)
        store.checkpoint(RunKey("t", "a"), 1, "c", 1, due_in=100)
        found = [(one.key.id, one.at) for one in store.live(9)]
        assert found == [("a", 10.5), ("c", 20), ("b", 30.25)]
        assert [one.record for one in store.live(1)] == [read(store, RunKey("t", "a"))]
        assert store.live(0) == []
        for _ in range(2):  # the run at that place is live, then it has ended
            assert [one.key.id for one in store.live(9, (20.0, RunKey("t", "c")))] == ["b"]
            store.swap(RunKey("t", "c"), 1, ENDED, keep=60)
        assert [one.key.id for one in store.live(9)] == ["a", "b"]

    def test_ended_runs_come_by_the_time_until_when_they_are_kept(self, store: Store) -> None:
        for name, keep in [("b", 60), ("a", 90), ("c", 30), ("e", 20)]:
            store.swap(RunKey("t", name), 0, ENDED, keep=keep)
        found = store.ended(9)
        assert [one.key.id for one in found] == ["a", "b", "c", "e"]
        assert [one.key.id for one in store.ended(2)] == ["a", "b"]
        assert store.ended(9, found[1].place) == found[2:]
        store.swap(found[1].key, 1, RUNNING)  # begins anew
        assert store.ended(9, found[1].place) == found[2:]
        assert store.ended(9, found[3].place) == store.ended(0) == []

    def test_a_long_listing_has_each_run_once(self, store: Store) -> None:
        names = [f"{number:03}" for number in range(600)]
        for name in names:  # all of them at the same place in the order
            store.swap(RunKey("t", name), 0, RUNNING)
        assert sorted(one.key.id for one in store.live(1000)) == names
        first = store.live(300)
        rest = store.live(1000, first[-1].place)
        assert sorted(one.key.id for one in (*first, *rest)) == names

    def test_what_is_kept_for_a_time_is_never_due(self, store: Store) -> None:
        store.swap(RUN, 0, ENDED, due_in=-1, keep=60)
        assert store.due(5) == []
        assert read(store).due_at is None

    def test_an_ended_run_tells_when_it_ended(self, store: Store) -> None:
        assert put(store).ended_at is None
        before = store.load(RUN).now
        ended = replace(ENDED, kept_for=60.0, ended_at=1.0)
        assert store.swap(RUN, 1, ended, keep=60).done
        found = store.load(RUN)
        assert found.record is not None
        ended_at = found.record.ended_at
        assert ended_at is not None
        assert before - 0.01 <= ended_at <= found.now + 0.01
        ((_, record),) = listed(store, 10)
        assert record.ended_at == ended_at
        assert store.swap(RUN, 2, RUNNING, due_in=60).done
        assert read(store).ended_at is None

    def test_an_ended_run_is_kept_for_its_time(self, store: Store) -> None:
        put(store, due_in=-1)
        assert store.swap(RUN, 1, ENDED, keep=60).done
        assert store.due(5) == []
        assert listed(store, 5) == [(RUN, read(store))]

    def test_then_it_is_forgotten(self, store: Store) -> None:
        put(store)
        assert store.swap(RUN, 1, ENDED, keep=0.2).done
        until(lambda: store.load(RUN).record is None, "the record to be forgotten")
        assert listed(store, 5) == []
        assert not store.swap(RUN, 2, RUNNING).done
        assert not store.checkpoint(RUN, 1, "c", 1, due_in=9).accepted
        assert store.swap(RUN, 0, RUNNING, due_in=-1).version == 1
        assert [run for run, _ in store.due(5)] == [RUN]
        assert [run for run, _ in listed(store, 5)] == [RUN]

    def test_a_run_that_begins_anew_is_not_forgotten(self, store: Store) -> None:
        put(store)
        store.swap(RUN, 1, ENDED, keep=0.2)
        store.swap(RUN, 2, RUNNING, due_in=0.3)
        until_due(store)
        assert [run for run, _ in listed(store, 5)] == [RUN]
        other = RunKey("t", "other")
        store.swap(other, 0, ENDED, keep=60)  # sweeps what has expired
        assert {run for run, _ in listed(store, 5)} == {RUN, other}
        assert [run for run, _ in store.due(5)] == [RUN]

    def test_what_is_forgotten_takes_no_place_in_listings(self, store: Store) -> None:
        old, young = RunKey("t", "old"), RunKey("t", "young")
        put(store, run=old)
        for number in range(30):
            store.swap(RunKey("t", str(number)), 0, ENDED, keep=0.2)
        put(store, run=young, due_in=-1)
        until(lambda: len(listed(store, 99)) == 2, "the ended runs to be forgotten")
        assert {run for run, _ in listed(store, 2)} == {young, old}
        assert [run for run, _ in store.due(1)] == [young]

    def test_runs_are_found_by_the_beginning_of_their_id(self, store: Store) -> None:
        names = ["8f6f", "8f6f2c", "8F6F", "8f", "9a", "é:1", "%", "a_b", "axb", "é:\u20ac"]
        for name in names:
            put(store, run=RunKey("t", name))
        put(store, run=RunKey("a:%other", "8f6f2c"))
        assert {*store.named("", 99)} == {*(RunKey("t", n) for n in names), ("a:%other", "8f6f2c")}
        assert store.named("8f6f", 99) == [("t", "8f6f"), ("a:%other", "8f6f2c"), ("t", "8f6f2c")]
        assert store.named("8f6f", 2) == [("t", "8f6f"), ("a:%other", "8f6f2c")]
        assert store.named("8f6f", 0) == []
        for prefix, found in [
            ("8F", ["8F6F"]),
            ("é:", ["é:1", "é:\u20ac"]),
            ("a_", ["a_b"]),
            ("x", []),
        ]:
            assert [run.id for run in store.named(prefix, 9)] == found

    def test_ended_runs_are_found_by_id_until_they_are_forgotten(self, store: Store) -> None:
        put(store)
        assert store.swap(RUN, 1, ENDED, keep=60).done
        brief = RunKey(RUN.task, RUN.id + "-brief")
        assert store.swap(brief, 0, ENDED, keep=0.2).done
        assert RUN in store.named(RUN.id, 9)
        until(lambda: store.named(RUN.id, 9) == [RUN], "the brief one to be forgotten")
        assert store.swap(brief, 0, RUNNING, due_in=60).done
        for _ in range(60):  # enough for a sweep of what has expired
            store.swap(RunKey("t", "other"), 0, ENDED, keep=0.01)
        assert store.named(RUN.id, 9) == [RUN, brief]

    def test_many_runs_are_found_by_id_once_each(self, store: Store) -> None:
        names = [f"many-{number:03}" for number in range(600)]
        for name in names:
            store.swap(RunKey("t", name), 0, RUNNING)
        assert [run.id for run in store.named("many", 1000)] == names
        assert [run.id for run in store.named("many-1", 7)] == names[100:107]


class LifeContract:
    def test_it_is_a_store(self, store: Store) -> None:
        assert isinstance(store, Store)
        assert store.shared_between_processes or not store.shared_between_hosts

    def test_check_accepts_it(self, store: Store) -> None:
        store.check()
        assert listed(store, 5) == []

    def test_it_works_after_close(self, store: Store) -> None:
        put(store)
        store.close()
        store.close()
        assert read(store) == replace(RUNNING, version=1, due_at=read(store).due_at)

    def test_a_second_store_sees_the_same_records(
        self, store: Store, open_store: Callable[[str], Store]
    ) -> None:
        put(store)
        assert read(open_store("test")) == read(store)

    def test_time_never_runs_backwards(self, store: Store) -> None:
        times = [store.load(RUN).now, store.swap(RUN, 0, RUNNING).now]
        times += [store.swap(RUN, 0, RUNNING).now, store.load(RUN).now]
        assert times == sorted(times)

"""What every store answers about many runs, and its life."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.stores.base import Store
from celery_graceful.testing.store_contract.samples import (
    RUN,
    RUNNING,
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

    def test_runs_come_by_their_due_times_and_ended_ones_last(self, store: Store) -> None:
        for name, due_in in [("b", 60), ("a", -60), ("d", 9), ("e", 90), ("c", None)]:
            put(store, run=RunKey("t", name), due_in=due_in)
        for name in "db":
            store.swap(RunKey("t", name), 1, ENDED, keep=60)
        store.checkpoint(RunKey("t", "a"), 1, "c", 1, due_in=100)
        assert [run.id for run, _ in store.runs(9)] == ["e", "a", "c", "b", "d"]
        assert [run.id for run, _ in store.runs(4)] == ["e", "a", "c", "b"]
        assert [run.id for run, _ in store.runs(1)] == ["e"]
        assert store.runs(0) == []

    def test_a_long_listing_has_each_run_once(self, store: Store) -> None:
        names = [f"{number:03}" for number in range(600)]
        for name in names:  # all of them at the same place in the order
            store.swap(RunKey("t", name), 0, RUNNING)
        assert sorted(run.id for run, _ in store.runs(1000)) == names
        assert len({run for run, _ in store.runs(300)}) == 300

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
        ((_, listed),) = store.runs(10)
        assert listed.ended_at == ended_at
        assert store.swap(RUN, 2, RUNNING, due_in=60).done
        assert read(store).ended_at is None

    def test_an_ended_run_is_kept_for_its_time(self, store: Store) -> None:
        put(store, due_in=-1)
        assert store.swap(RUN, 1, ENDED, keep=60).done
        assert store.due(5) == []
        assert store.runs(5) == [(RUN, read(store))]

    def test_then_it_is_forgotten(self, store: Store) -> None:
        put(store)
        assert store.swap(RUN, 1, ENDED, keep=0.2).done
        until(lambda: store.load(RUN).record is None, "the record to be forgotten")
        assert store.runs(5) == []
        assert not store.swap(RUN, 2, RUNNING).done
        assert not store.checkpoint(RUN, 1, "c", 1, due_in=9).accepted
        assert store.swap(RUN, 0, RUNNING, due_in=-1).version == 1
        assert [run for run, _ in store.due(5)] == [RUN]
        assert [run for run, _ in store.runs(5)] == [RUN]

    def test_a_run_that_begins_anew_is_not_forgotten(self, store: Store) -> None:
        put(store)
        store.swap(RUN, 1, ENDED, keep=0.2)
        store.swap(RUN, 2, RUNNING, due_in=0.3)
        until_due(store)
        assert [run for run, _ in store.runs(5)] == [RUN]
        other = RunKey("t", "other")
        store.swap(other, 0, ENDED, keep=60)  # sweeps what has expired
        assert {run for run, _ in store.runs(5)} == {RUN, other}
        assert [run for run, _ in store.due(5)] == [RUN]

    def test_what_is_forgotten_takes_no_place_in_listings(self, store: Store) -> None:
        old, young = RunKey("t", "old"), RunKey("t", "young")
        put(store, run=old)
        for number in range(30):
            store.swap(RunKey("t", str(number)), 0, ENDED, keep=0.2)
        put(store, run=young, due_in=-1)
        until(lambda: len(store.runs(99)) == 2, "the ended runs to be forgotten")
        assert {run for run, _ in store.runs(2)} == {young, old}
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
        assert store.runs(5) == []

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

"""What every kind of store does when it is written to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from celery_graceful.model.run.record import Outcome, Record, Request, RunKey, State
from celery_graceful.stores.base import Flushed, Store, Swapped
from celery_graceful.testing.store_contract.samples import (
    FULL,
    OWNER,
    RUN,
    RUNNING,
    listed,
    put,
    read,
    until_due,
)

#: Seconds by which a store may round a time.
ROUNDING = 0.5

ENDED = Record(State.ENDED, fence=1, outcome=Outcome.COMPLETED, started_at=12.5)


class SwapContract:
    def test_nothing_is_there_at_first(self, store: Store) -> None:
        found = store.load(RUN)
        assert found.record is None
        assert found.now > 0

    def test_every_field_comes_back(self, store: Store) -> None:
        swapped = store.swap(RUN, 0, FULL, due_in=60)
        assert (swapped.done, swapped.version) == (True, 1)
        there = read(store)
        assert there.due_at == pytest.approx(swapped.now + 60, abs=ROUNDING)
        assert there == replace(FULL, version=1, due_at=there.due_at)

    def test_fields_can_become_none_again(self, store: Store) -> None:
        put(store, FULL)
        assert store.swap(RUN, 1, Record(State.PAUSED)).done
        assert read(store) == Record(State.PAUSED, version=2)

    def test_a_record_begins_at_its_own_version(self, store: Store) -> None:
        """One that vanished and is written anew is never taken for what it was before."""
        begun = 1_900_000_000_000_000
        assert store.swap(RUN, 0, replace(RUNNING, version=begun, due_at=5.0)).version == begun
        assert read(store) == replace(RUNNING, version=begun)
        assert not store.swap(RUN, 1, FULL).done
        assert store.checkpoint(RUN, 1, "c", 1, due_in=60).version == begun + 1
        store.renew(OWNER, [RUN], due_in=60)
        assert read(store).version == begun + 2
        assert store.swap(RUN, begun + 2, FULL).version == begun + 3

    def test_version_and_due_at_are_the_stores_from_then_on(self, store: Store) -> None:
        put(store)
        store.swap(RUN, 1, replace(RUNNING, version=41, due_at=5.0))
        assert read(store) == replace(RUNNING, version=2)

    @pytest.mark.parametrize("expected", [0, 1, 3])
    def test_another_version_is_refused(self, store: Store, expected: int) -> None:
        put(store)
        assert store.swap(RUN, 1, replace(RUNNING, fence=2)).version == 2
        there = read(store)
        refused = store.swap(RUN, expected, FULL, due_in=1)
        assert refused == Swapped(False, refused.now, 0, there)
        assert read(store) == there

    def test_a_version_without_a_record_is_refused(self, store: Store) -> None:
        refused = store.swap(RUN, 1, RUNNING)
        assert refused == Swapped(False, refused.now, 0, None)
        assert store.load(RUN).record is None

    @pytest.mark.parametrize("expected", [0, 1])
    def test_one_of_many_threads_wins(self, store: Store, expected: int) -> None:
        if expected:
            put(store)
        start = threading.Barrier(8)

        def contend(number: int) -> Swapped:
            start.wait(10)
            return store.swap(RUN, expected, replace(RUNNING, fence=number), due_in=60)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(contend, range(8)))
        assert [answer.done for answer in answers].count(True) == 1
        winner = [answer.done for answer in answers].index(True)
        there = read(store)
        assert (there.fence, there.version) == (winner, expected + 1)
        assert all(answer.record == there for answer in answers if not answer.done)

    def test_lost_updates_do_not_happen(self, store: Store) -> None:
        put(store, replace(RUNNING, steps=0))

        def add(_: int) -> None:
            done = False
            while not done:
                there = read(store)
                more = replace(there, steps=there.steps + 1)
                done = store.swap(RUN, there.version, more, due_in=60).done

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, range(40)))
        there = read(store)
        assert (there.steps, there.version) == (40, 41)

    @pytest.mark.parametrize("size", [0, 1, 5_000_000])
    def test_envelopes_of_any_size(self, store: Store, size: int) -> None:
        envelope = (b"\x00\xff\r\n$-1'%" * (size // 8 + 1))[:size]
        put(store, replace(RUNNING, envelope=envelope))
        assert read(store).envelope == envelope

    @pytest.mark.parametrize(
        "run",
        [
            RunKey("tâche.日本", "ïd-☂-\U0001f600"),
            RunKey("a:b{c}%3A%25", "d:e:{f}%3A"),
            RunKey("with space\n", "'quoted\" $1 %s :x ?"),
            RunKey("", ""),
        ],
    )
    def test_any_names(self, store: Store, run: RunKey) -> None:
        put(store, run=run, due_in=-1)
        assert store.checkpoint(run, 1, "c", 1, due_in=-1).accepted
        store.renew(OWNER, [run], due_in=-1)
        assert [key for key, _ in store.due(5)] == [run]
        assert [key for key, _ in listed(store, 5)] == [run]

    def test_names_that_look_alike_are_different_runs(self, store: Store) -> None:
        names = ["a:b", "a%3Ab", "a", "A", "a ", "å", "a\u030a"]
        runs = [RunKey(task, run_id) for task in names for run_id in [*names, "b:a"]]
        for number, run in enumerate(runs):
            put(store, replace(RUNNING, steps=number), run)
        assert [read(store, run).steps for run in runs] == list(range(len(runs)))

    def test_namespaces_are_apart(self, open_store: Callable[[str], Store]) -> None:
        names = ["one", "ONE", "one:run", "one:run:x", "one%3Arun", ""]
        stores = [open_store(name) for name in names]
        run = RunKey("x", "due")
        for number, store in enumerate(stores):
            put(store, replace(RUNNING, steps=number), run, due_in=-1)
        for number, store in enumerate(stores):
            assert [record.steps for _, record in store.due(9)] == [number]
            assert [record.steps for _, record in listed(store, 9)] == [number]
            assert read(store, run).steps == number


class LeaseContract:
    def test_a_checkpoint_is_saved(self, store: Store) -> None:
        before, since = put(store), store.load(RUN).now
        flushed = store.checkpoint(RUN, 1, '{"cursor": "☂"}', 17, due_in=90)
        until = store.load(RUN).now
        assert (flushed.accepted, flushed.version, flushed.requested) == (True, 2, None)
        there = read(store)
        assert there.due_at is not None
        assert since + 90 - ROUNDING <= there.due_at <= until + 90 + ROUNDING
        assert there == replace(
            before, checkpoint='{"cursor": "☂"}', steps=17, version=2, due_at=there.due_at
        )

    def test_its_answer_says_what_is_requested(self, store: Store) -> None:
        put(store, replace(RUNNING, requested=Request.CANCEL))
        assert store.checkpoint(RUN, 1, "c", 1, due_in=9).requested is Request.CANCEL

    def test_it_is_accepted_after_the_lease_has_ended(self, store: Store) -> None:
        put(store, due_in=-5)
        assert store.checkpoint(RUN, 1, "c", 1, due_in=60).accepted
        assert store.due(5) == []

    @pytest.mark.parametrize("fence", [0, 2, 11])
    def test_it_is_refused_under_another_fence(self, store: Store, fence: int) -> None:
        before = put(store)
        assert store.checkpoint(RUN, fence, "c", 1, due_in=9) == Flushed(False)
        assert read(store) == before

    @pytest.mark.parametrize("state", [state for state in State if state is not State.RUNNING])
    def test_it_is_refused_when_not_running(self, store: Store, state: State) -> None:
        before = put(store, replace(RUNNING, state=state))
        assert store.checkpoint(RUN, 1, "c", 1, due_in=9) == Flushed(False)
        assert read(store) == before

    def test_without_a_record_the_answer_is_another(self, store: Store) -> None:
        """Its owner writes it back; who is refused under its fence has lost the run."""
        assert store.checkpoint(RUN, 0, "c", 1, due_in=9) == Flushed(False, gone=True)
        assert store.load(RUN).record is None

    def test_it_makes_an_older_version_lose(self, store: Store) -> None:
        put(store)
        store.checkpoint(RUN, 1, "c", 1, due_in=9)
        assert not store.swap(RUN, 1, ENDED).done

    @pytest.mark.parametrize("state", [State.RUNNING, State.FINISHING])
    def test_a_renewal_moves_the_end_of_the_lease(self, store: Store, state: State) -> None:
        before = put(store, replace(RUNNING, state=state), due_in=-5)
        since = store.load(RUN).now
        store.renew(OWNER, [RunKey("gone", "x"), RUN], due_in=70)
        until = store.load(RUN).now
        there = read(store)
        assert there.due_at is not None
        assert since + 70 - ROUNDING <= there.due_at <= until + 70 + ROUNDING
        assert there == replace(before, version=2, due_at=there.due_at)
        assert store.due(5) == []
        assert not store.swap(RUN, 1, ENDED).done
        assert store.load(RunKey("gone", "x")).record is None

    @pytest.mark.parametrize(
        "change",
        [
            {"owner": "celery@two:1"},
            {"owner": None},
            {"state": State.PAUSED},
            {"state": State.ENDED},
            {"state": State.RETRYING},
            {"state": State.INTERRUPTED},
        ],
    )
    def test_a_renewal_leaves_the_others_alone(
        self, store: Store, change: dict[str, State | str | None]
    ) -> None:
        before = put(store, replace(RUNNING, **change))  # type: ignore[arg-type]
        store.renew(OWNER, {RUN}, due_in=70)
        assert read(store) == before

    def test_a_renewal_of_nothing(self, store: Store) -> None:
        store.renew(OWNER, [], due_in=70)

    def test_a_renewal_of_very_many(self, store: Store) -> None:
        runs = [RunKey("t" if number % 2 else "u", str(number)) for number in range(450)]
        for run in runs:
            put(store, run=run)
        store.renew(OWNER, runs, due_in=70)
        assert {read(store, run).version for run in runs} == {2}

    def test_time_passes(self, store: Store) -> None:
        put(store, due_in=0.2)
        record = until_due(store)
        assert record.due_at is not None
        now = store.load(RUN).now
        assert record.due_at <= now
        assert not record.leased(now)

"""What beat owes is counted once, whatever becomes of the store's answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.errors import CorruptRecord, NewerRecord, StoreUnavailable
from celery_graceful.maintenance.beat.mode_cache import RESPITE, BeatBoard
from celery_graceful.maintenance.beat.owed import NOTICE, OwedEntries, decode_owed
from celery_graceful.stores.base import NOTICES, Text
from celery_graceful.stores.memory_store import MemoryStore


class Time:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Weather(MemoryStore):
    """A store behind a line that breaks: before a call, or after it."""

    def __init__(self, clock: Time | None = None) -> None:
        super().__init__(clock or Time())
        #: For the next calls: ``down``, ``answer lost``, ``fine``, or ``answer lost: signal``.
        self.forecast: list[str] = []
        self.on_signal: Callable[[], None] = lambda: None

    def read_text(self, kind: str, name: str) -> Text:
        return self._over_the_line(lambda: super(Weather, self).read_text(kind, name))

    def write_text(self, *args: Any, **options: Any) -> Text | None:
        write = super().write_text
        return self._over_the_line(lambda: write(*args, **options))

    def _over_the_line(self, call: Callable[[], Text | None]) -> Text:
        now = self.forecast.pop(0) if self.forecast else "fine"
        if now == "down":
            raise StoreUnavailable("no answer")
        answer = call()
        if now == "answer lost":
            raise StoreUnavailable("no answer")
        if now == "answer lost: signal":  # what beat's handler of SIGTERM does
            self.on_signal()
            raise SystemExit
        return answer  # type: ignore[return-value]


def on_board(store: MemoryStore) -> dict[str, int]:
    return decode_owed(store.read_text(NOTICES, NOTICE).text)[0]


def test_it_outlives_beat() -> None:
    store = MemoryStore()
    first = OwedEntries(BeatBoard(store))
    first.add("report", 1)
    first.add("report", 1)
    first.add("bill", 1)
    assert first.save()
    second = OwedEntries(BeatBoard(store))
    assert second.save()
    assert second.counts() == {"report": 2, "bill": 1}
    assert str(second) == "bill × 1, report × 2"
    second.add("report", -2)
    second.add("bill", -1)
    assert second.save()
    assert not second
    assert on_board(store) == {}


def test_a_change_counts_before_it_is_saved() -> None:
    store, clock = Weather(), Time()
    store.forecast = ["down"]
    owed = OwedEntries(BeatBoard(store, clock))
    owed.add("report", 1)
    assert not owed.save()
    assert owed["report"] == 1
    assert not owed.saved
    assert not owed.save(), "the store is left alone for a while"
    assert store.forecast == []
    clock.now += RESPITE
    assert owed.save()
    assert on_board(store) == {"report": 1}


def test_a_lost_answer_is_no_second_count() -> None:
    store, clock = Weather(), Time()
    owed = OwedEntries(BeatBoard(store, clock))
    assert owed.save()
    store.forecast = ["answer lost"]
    owed.add("report", 1)
    assert not owed.save()
    owed.add("report", 1)
    clock.now += RESPITE
    assert owed.save()
    assert on_board(store) == {"report": 2}


def test_two_beats_add_up() -> None:
    store = MemoryStore()
    here, there = OwedEntries(BeatBoard(store)), OwedEntries(BeatBoard(store))
    assert here.save()
    assert there.save()
    here.add("report", 1)
    there.add("bill", 2)
    assert here.save()
    assert there.save()
    assert on_board(store) == {"report": 1, "bill": 2}


WEATHER = st.lists(st.sampled_from(["fine", "down", "answer lost"]), max_size=12)
CHANGES = st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 3)), max_size=8)


@given(forecast=WEATHER, changes=CHANGES)
def test_in_any_weather(forecast: list[str], changes: list[tuple[str, int]]) -> None:
    store, clock = Weather(), Time()
    store.forecast = list(forecast)
    owed = OwedEntries(BeatBoard(store, clock))
    total: dict[str, int] = {}
    for name, number in changes:
        owed.add(name, number)
        total[name] = total.get(name, 0) + number
        owed.save()
        clock.now += RESPITE
    store.forecast = []
    assert owed.save()
    assert owed.counts() == on_board(store) == total


@pytest.mark.parametrize("text", ["{}", "[]", "no", '{"schema": 1, "owed": 3, "mark": ""}'])
def test_garbage_is_an_error(text: str) -> None:
    with pytest.raises(CorruptRecord, match=NOTICE):
        decode_owed(text)


def test_so_is_what_a_later_version_wrote() -> None:
    with pytest.raises(NewerRecord, match="later version"):
        decode_owed('{"schema": 2}')


HOSTILE = ["Infinity", "NaN", "1" + "0" * 400, "-1", "true", "1.5", "[1]", "null", "10000001"]


@pytest.mark.parametrize("number", HOSTILE, ids=lambda number: number[:9])
def test_an_entry_with_no_number_hides_no_other(number: str) -> None:
    text = f'{{"schema": 1, "owed": {{"bad": {number}, "good": 2}}, "mark": "m"}}'
    try:
        assert decode_owed(text) == ({"good": 2}, "m")
    except CorruptRecord:  # what JSON does not have is refused as a whole
        assert number in ("Infinity", "NaN") or len(number) > 40


@pytest.mark.parametrize("text", ["no JSON", "[" * 200_000, '{"schema": Infinity}'])
def test_beat_goes_on_with_what_it_knows_and_replaces_what_cannot_be_read(text: str) -> None:
    store = MemoryStore()
    owed = OwedEntries(BeatBoard(store))
    owed.add("report", 1)
    assert owed.save()
    assert store.write_text(NOTICES, NOTICE, text, expected=1) is not None
    owed.add("report", 1)
    assert owed.save()
    assert on_board(store) == {"report": 2}


def test_another_beat_that_writes_all_the_time_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    owed = OwedEntries(BeatBoard(store))
    owed.add("report", 1)
    monkeypatch.setattr(store, "write_text", lambda *args, **options: None)
    assert not owed.save()

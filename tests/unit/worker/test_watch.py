"""What a worker knows of the mode: from the store, from broadcasts, and by the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from celery_graceful._celery.threads.native import StillChanging
from celery_graceful.errors import CorruptRecord, SettingsError, StoreError, StoreUnavailable
from celery_graceful.maintenance.mode_changes import NOTICE
from celery_graceful.maintenance.workers import Report, encode_report
from celery_graceful.model import outage
from celery_graceful.model.maintenance.mode import (
    EVERYTHING,
    Kind,
    Mode,
    Scope,
    hold_scopes,
    release_scopes,
)
from celery_graceful.model.maintenance.mode_text import decode_mode, encode_mode
from celery_graceful.stores.base import NOTICES, REPORTS, Store, Text
from celery_graceful.stores.memory_store import MemoryStore
from celery_graceful.worker.maintenance import mode_watch
from celery_graceful.worker.maintenance.mode_watch import ModeWatch
from tests.harness import wait_for

MAIL = (Scope(Kind.QUEUE, "mail"),)


class Breaking(MemoryStore):
    """A store that can be away."""

    away = False
    #: Seconds until the answer to a write comes; others see at once what was written.
    late = 0.0

    def write_text(self, *args: Any, **options: Any) -> Text | None:
        written = super().write_text(*args, **options)
        time.sleep(self.late)
        return written

    def read_text(self, kind: str, name: str) -> Text:
        if self.away:
            raise StoreUnavailable("away")
        return super().read_text(kind, name)


@pytest.fixture(autouse=True)
def _not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most are asked without their thread, whose last round would be waited for."""
    monkeypatch.setattr(mode_watch, "LAST_ROUND", 0.1)


@pytest.fixture
def store() -> Breaking:
    return Breaking()


class Told:
    """A watch, and how often it said that something has changed."""

    def __init__(self, store: Store, *, lease: float = 30.0, pauses: bool = False) -> None:
        self.changes = 0
        report = Report(hostname="w@h", pid=1, pool="solo", slots=1)
        self.watch = ModeWatch(
            "w", lambda: store, lambda: report, self.count, poll=0.2, lease=lease, pauses=pauses
        )

    def count(self) -> None:
        self.changes += 1


@pytest.fixture
def told(store: Breaking) -> Iterator[Told]:
    made = Told(store)
    yield made
    made.watch.stop()


def post(store: Store, mode: Mode, version: int) -> None:
    assert store.write_text(NOTICES, NOTICE, encode_mode(mode), expected=version) is not None


def held(store: Store, until: float | None = None) -> Mode:
    now = store.read_text(NOTICES, NOTICE).now
    return hold_scopes(
        Mode(), [EVERYTHING], now=now, who="w", until=None if until is None else now + until
    )


def test_nothing_is_known_before_the_first_look(told: Told) -> None:
    assert told.watch.known.mode.version == -1
    assert told.watch.look()
    assert told.watch.known.mode == Mode(version=0)
    assert told.changes == 1


def test_a_change_is_told_once(store: Breaking, told: Told) -> None:
    told.watch.look()
    post(store, held(store), 0)
    for _ in range(3):
        told.watch.look()
    assert told.watch.known.mode.down
    assert told.changes == 2


def test_a_broadcast_that_is_older_changes_nothing(store: Breaking, told: Told) -> None:
    mode = held(store)
    post(store, mode, 0)
    post(store, release_scopes(mode, [], now=mode.holds[0].since, who="w"), 1)
    told.watch.look()
    told.watch.learn(Mode(holds=mode.holds, version=1))
    assert not told.watch.known.mode.down
    told.watch.learn(Mode(holds=mode.holds, version=3))
    assert told.watch.known.mode.down


def test_it_ends_by_the_clock_without_a_store(store: Breaking, told: Told) -> None:
    post(store, held(store, until=3), 0)
    told.watch.look()
    assert told.watch.known.mode.down
    store.away = True
    told.watch.start()
    wait_for(lambda: not told.watch.known.mode.down, 20, "that it ends")


def test_one_that_pauses_without_a_store_does_so_after_a_lease(store: Breaking) -> None:
    told = Told(store, lease=3, pauses=True)
    told.watch.look()
    store.away = True
    assert not told.watch.look()
    assert not told.watch.known.cut_off
    began = time.monotonic()
    wait_for(lambda: told.watch.look() or told.watch.known.cut_off, 20, "that it is cut off")
    assert time.monotonic() - began < 12
    store.away = False
    assert told.watch.look()
    assert not told.watch.known.cut_off


def test_an_answer_that_comes_late_does_not_make_the_report_newer(store: Breaking) -> None:
    """Others count from when it was written: after a lease, the worker is gone for them."""
    told = Told(store, lease=0.3, pauses=True)
    store.late = 0.4
    assert told.watch.look()
    assert told.watch.known.cut_off
    store.late = 0.0
    assert told.watch.look()
    assert not told.watch.known.cut_off


@pytest.mark.parametrize("text", ["no JSON", '{"schema": 2}'])
def test_a_mode_that_cannot_be_read_holds_everything_where_wanted(
    store: Breaking, text: str
) -> None:
    assert store.write_text(NOTICES, NOTICE, text, expected=0) is not None
    told = Told(store, pauses=True)
    told.watch.look()
    assert [hold.scope for hold in told.watch.known.mode.holds] == [EVERYTHING]


@pytest.mark.parametrize("text", ["no JSON", '{"schema": 2}', "[" * 100_000, "null"])
def test_a_mode_that_cannot_be_read_leaves_it_unknown(
    store: Breaking, told: Told, text: str
) -> None:
    assert store.write_text(NOTICES, NOTICE, text, expected=0) is not None
    told.watch.look()
    assert not told.watch.is_known
    assert not told.watch.known.mode.down
    told.watch.learn(Mode(version=1))
    told.watch.look()
    assert told.watch.known.mode == Mode(version=1), "other workers knew"
    assert not told.watch.known.runs_wait, "runs need no mode"


# -- without the store -------------------------------------------------------------------------


class Refusing(Breaking):
    """A store that raises what it is asked to."""

    error: Exception | None = None

    def read_text(self, kind: str, name: str) -> Text:
        if self.error is not None:
            raise self.error
        return super().read_text(kind, name)


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailable("does not answer"),
        StoreError("wrong password"),
        CorruptRecord("garbage"),
        SettingsError("no such store"),
        OSError("no such host"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        ImportError("no driver"),
    ],
    ids=repr,
)
def test_whatever_the_store_s_trouble_the_known_mode_stays_without_a_limit(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    store = Refusing()
    told = Told(store, lease=0.0)
    post(store, hold_scopes(Mode(), MAIL, now=0.0, who="w"), 0)
    told.watch.look()
    assert not told.watch.known.runs_wait
    store.error = error
    for _ in range(3):
        assert not told.watch.look()
    assert told.watch.known.mode.down
    assert not told.watch.known.cut_off, "its lease has ended, and plain tasks go on"
    assert told.watch.known.runs_wait
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "The store cannot be used" in line.getMessage()
    assert "(held: queue mail (by w))" in line.getMessage()
    store.error = None
    assert told.watch.look()
    assert not told.watch.known.runs_wait


def test_one_failed_look_holds_up_no_run(store: Breaking, told: Told) -> None:
    told.watch.look()
    store.away = True
    told.watch.look()
    assert not told.watch.known.runs_wait
    told.watch.look()
    assert told.watch.known.runs_wait


def test_without_a_first_answer_runs_wait_and_nothing_is_held(store: Breaking, told: Told) -> None:
    assert told.watch.known.runs_wait
    store.away = True
    told.watch.look()
    assert told.watch.known == (Mode(version=-1), False, True)


def test_when_an_execution_was_refused_runs_wait_though_the_worker_is_answered(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.watch.look()
    told.watch.refused()
    told.watch.look()
    assert told.watch.known.runs_wait
    later = time.monotonic() + outage.FIRST_PAUSE
    monkeypatch.setattr(
        "celery_graceful.worker.maintenance.mode_watch.time.monotonic", lambda: later
    )
    told.watch.look()
    assert not told.watch.known.runs_wait


def test_the_report_is_taken_back_at_the_end(store: Breaking, told: Told) -> None:
    told.watch.start()
    wait_for(lambda: len(store.texts(REPORTS)) == 1, 5, "a report")
    told.watch.stop()
    assert store.texts(REPORTS) == []


def test_it_looks_once_after_a_moment_and_not_while_the_store_is_away(
    store: Breaking, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    look = told.watch.look

    def counted() -> bool:
        looks.append(1)
        return look()

    monkeypatch.setattr(told.watch, "look", counted)
    moment = time.monotonic()
    told.watch.look_since(moment)
    told.watch.look_since(moment)
    assert len(looks) == 1
    store.away = True
    for _ in range(3):
        told.watch.look_since(time.monotonic())
    assert len(looks) == 2, "its thread tries again"
    store.away = False
    assert told.watch.look()
    told.watch.look_since(time.monotonic())
    assert len(looks) == 4


def test_after_a_good_one_a_mode_that_cannot_be_read_changes_nothing(
    store: Breaking, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    told.watch.look()
    assert store.write_text(
        NOTICES, NOTICE, '{"schema":1,"holds":[],"ramp":[1],"parked":false}', expected=0
    )
    for _ in range(3):
        told.watch.look()
    assert told.watch.known.mode == Mode(version=0), "and what it has not read is not acknowledged"
    (line,) = [record.getMessage() for record in caplog.records]
    assert "The maintenance mode last known stays in force (held: nothing)" in line
    assert "`graceful up` replaces it" in line
    post(store, held(store), 1)
    told.watch.look()
    assert told.watch.known.mode.down
    assert store.write_text(NOTICES, NOTICE, "[" * 100_000, expected=2) is not None
    told.watch.look()
    assert told.watch.known.mode.down
    assert told.watch.known.mode.version == 2


def test_nothing_is_reported_while_nobody_knows_what_runs(store: Breaking) -> None:
    def unknown() -> Report:
        raise StillChanging("a set changed")

    watch = ModeWatch("w", lambda: store, unknown, lambda: None, poll=0.2, lease=30.0)
    assert not watch.look()
    assert store.texts(REPORTS) == []


# -- a mode that vanished ----------------------------------------------------------------------


class Emptied(Breaking):
    """A store that can lose all its texts."""

    def empty(self) -> None:
        self._texts.clear()


@pytest.fixture
def emptied() -> Emptied:
    return Emptied()


def test_a_mode_that_vanished_is_written_back(
    emptied: Emptied, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told(emptied)
    post(emptied, held(emptied), 0)
    told.watch.look()
    emptied.empty()
    told.watch.look()
    assert told.watch.known.mode.down
    there = emptied.read_text(NOTICES, NOTICE)
    assert there.version == told.watch.known.mode.version > 1
    assert decode_mode(there.text, there.version).holds == told.watch.known.mode.holds
    assert [d.verb for d in told.watch.known.mode.log] == ["down", "written back"]
    assert "is written back as version" in caplog.text
    assert len(emptied.texts(REPORTS)) == 1, "its report is there again"


def test_it_is_written_back_once(emptied: Emptied) -> None:
    one, two = Told(emptied), Told(emptied)
    post(emptied, held(emptied), 0)
    for told in (one, two):
        told.watch.look()
    emptied.empty()
    for _ in range(2):
        for told in (one, two):
            told.watch.look()
    there = emptied.read_text(NOTICES, NOTICE)
    assert one.watch.known.mode == two.watch.known.mode == decode_mode(there.text, there.version)
    assert [d.verb for d in one.watch.known.mode.log] == ["down", "written back"]


@pytest.mark.parametrize("first", [0, 1])
def test_the_last_change_wins_whoever_writes_back_first(emptied: Emptied, first: int) -> None:
    """One of the two had not heard of it when the store was emptied."""
    both = one, late = Told(emptied), Told(emptied)
    down = held(emptied)
    post(emptied, down, 0)
    late.watch.look()
    post(emptied, release_scopes(down, [], now=down.holds[0].since + 1, who="w"), 1)
    one.watch.look()
    emptied.empty()
    for told in (both[first], both[1 - first]) * 3:
        told.watch.look()
    there = emptied.read_text(NOTICES, NOTICE)
    assert one.watch.known.mode == late.watch.known.mode == decode_mode(there.text, there.version)
    assert not one.watch.known.mode.down


def test_an_older_state_of_the_store_comes_back(emptied: Emptied) -> None:
    """A failover to a replica that lagged behind."""
    told = Told(emptied)
    down = held(emptied)
    post(emptied, Mode(), 0)
    post(emptied, down, 1)
    told.watch.look()
    emptied.empty()
    post(emptied, Mode(), 0)
    told.watch.look()
    assert told.watch.known.mode.down
    assert emptied.read_text(NOTICES, NOTICE).version > 2


def test_what_was_changed_after_it_was_written_back_counts(emptied: Emptied) -> None:
    told = Told(emptied)
    post(emptied, held(emptied), 0)
    told.watch.look()
    emptied.empty()
    told.watch.look()
    there = emptied.read_text(NOTICES, NOTICE)
    mode = decode_mode(there.text, there.version)
    up = release_scopes(mode, [], now=there.now, who="w")
    post(emptied, replace(up, was=0), there.version)
    told.watch.look()
    assert not told.watch.known.mode.down


def test_a_mode_that_could_not_be_read_is_not_written_back(emptied: Emptied) -> None:
    told = Told(emptied)
    assert emptied.write_text(NOTICES, NOTICE, "no JSON", expected=0) is not None
    told.watch.look()
    emptied.empty()
    told.watch.look()
    assert emptied.read_text(NOTICES, NOTICE).version == 0
    assert not told.watch.known.mode.down


def test_a_killed_start_of_a_worker_takes_no_share_of_a_slow_start() -> None:
    clock = [1000.0]
    store = Breaking(lambda: clock[0])

    def report(start: str, began: float) -> Report:
        return Report("w@h", 1, "solo", 1, start=start, up_for=clock[0] - began)

    def attend(start: str) -> None:
        text = encode_report(report(start, 500.0))
        store.write_text(REPORTS, start, text, keep=60)

    post(store, release_scopes(held(store), [], now=clock[0], who="w", ramp=60.0), 0)
    attend("w@h/killed")
    clock[0] += 1.0
    attend("other@h/1")
    own = ModeWatch(
        "w@h/next",
        lambda: store,
        lambda: report("w@h/next", 1001.0),
        lambda: None,
        poll=1.0,
        lease=30.0,
    )
    assert own.look()
    assert own.workers == 3  # it may be alive
    clock[0] += 2.0
    attend("other@h/1")
    assert own.look()
    assert (own.rank, own.workers) == (1, 2)
    own.stop()

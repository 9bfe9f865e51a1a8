"""Frames of live tables: they fit, and hold nothing that a terminal obeys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_graceful.cli.show.live.runs_frame import RunsSeen, runs_frame
from celery_graceful.cli.show.live.spans import Line, bar, cut, short_number, short_span
from celery_graceful.cli.show.live.status_frame import StatusSeen, status_frame
from celery_graceful.maintenance.api import Status
from celery_graceful.maintenance.barrier import judge
from celery_graceful.maintenance.broker_replies import BrokerReplies
from celery_graceful.model.maintenance.mode import Mode, Ramp
from celery_graceful.runs.plain_run import Run
from celery_graceful.text.terminal import cell_width
from tests.unit.maintenance.workers import IMPORT, member
from tests.unit.trust.test_printable import EVIL, UNSAFE
from tests.unit.views.made import NOW, held, run

WIDTHS = [80, 120, 200]
LONG = "8f6f2c52-1b1f-4c55-9d3b-2f0e6f6f0001"
RUNS = (
    run("running", total=13_000_000, steps=1_234_567, percent=9.5, rate_now=1234.5, time_left=9531),
    run("paused", task="shop.catalogue.tasks.reindex_products"),
    run("failed", task="日本.タスク" * 5, total=None, percent=None),
    run("retrying", queue=None, started_at=None),
)


def texts(lines: list[Line]) -> list[str]:
    return ["".join(span.text for span in line) for line in lines]


def frame(
    width: int | None, height: int | None = None, runs: tuple[Run, ...] = RUNS, **seen: Any
) -> list[str]:
    known = {"ids": [each.id for each in runs], "whys": [None for _ in runs], **seen}
    return texts(runs_frame(RunsSeen("Runs of shop", runs, **known), width, height))


@pytest.mark.parametrize("width", WIDTHS)
def test_runs_fit_and_a_wide_terminal_shows_more(width: int) -> None:
    lines = frame(width, whys=[None, "paused by ann", None, "x " * 300])
    assert max(map(cell_width, lines)) <= width
    heading = lines[2].split()
    assert heading[:7] == ["state", "task", "id", "progress", "items", "items/s", "left"]
    assert ("worker" in heading) == (width >= 120)
    assert width < 200 or "executions" in heading
    assert any("1.23M/13.0M" in line and "9%" in line and "2h38m" in line for line in lines)
    assert "  paused by ann" in lines


def test_what_is_the_same_for_several_runs_is_said_once() -> None:
    assert sum("held by" in line for line in frame(80, whys=["held by maintenance"] * 4)) == 1


def test_a_low_terminal_shows_what_fits_and_says_so() -> None:
    many = tuple(replace(RUNS[0], id=str(number)) for number in range(40))
    for height in (4, 5, 12, 24):
        lines = frame(80, height, many)
        assert len(lines) <= height
    assert lines[-1].startswith("… 20 more")
    assert "more runs" in frame(80, None, many, more=True)[-1]


def test_trouble_maintenance_and_counts_are_above() -> None:
    known: dict[str, Any] = {"held": "everything", "counts": "4 active"}
    lines = frame(80, trouble="The store has not answered", **known)
    assert lines[1:4] == ["The store has not answered", "In maintenance: everything", "4 active"]


def test_without_a_terminal_nothing_is_cut() -> None:
    (line,) = (line for line in frame(None) if "reindex" in line)
    assert "shop.catalogue.tasks.reindex_products" in line


@pytest.mark.parametrize("width", [20, 40, *WIDTHS])
@pytest.mark.parametrize("evil", [EVIL, "x" * 10**6, "日" * 10**5, "", "a\u0301" * 300])
def test_hostile_runs(width: int, evil: str) -> None:
    hostile = run("running", task=evil, id=evil, worker=evil, queue=evil, reason=evil)
    odd = replace(hostile, state=evil or "?", requested=evil or None, worker=None)
    seen = {"whys": [evil, evil], "held": evil, "trouble": evil, "counts": evil}
    lines = frame(width, 24, (hostile, odd), **seen)
    assert len(lines) <= 24
    for line in lines:
        assert cell_width(line) <= width
        assert not UNSAFE.search(line)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(20, 250),
    st.integers(4, 60),
    st.lists(
        st.builds(
            replace,
            st.sampled_from(RUNS),
            task=st.text(max_size=40),
            id=st.text(max_size=40),
            steps=st.integers(0, 10**15),
            total=st.none() | st.integers(0, 10**15),
            percent=st.none() | st.floats(0, 100),
            rate_now=st.none() | st.floats(0, 1e12),
            time_left=st.none() | st.floats(0, 1e15),
        ),
        max_size=8,
    ).map(tuple),
    st.none() | st.text(max_size=300),
)
def test_any_frame_fits(width: int, height: int, runs: tuple[Run, ...], why: str | None) -> None:
    lines = frame(width, height, runs, whys=[why] * len(runs))
    assert len(lines) <= height
    assert max(map(cell_width, lines)) <= width
    assert not UNSAFE.search("".join(lines))


# -- status -------------------------------------------------------------------------------------


def status(mode: Mode, **said: Any) -> Status:
    known = [member(), member(hostname="w2@host", busy=(IMPORT,), paused=False, **said)]
    barrier = judge(mode, known, BrokerReplies(), lease=30, heartbeat=5, queues=("celery",))
    return Status(mode, NOW, barrier)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_status_fits(width: int) -> None:
    mode = replace(held(), version=5, ramp=Ramp(NOW - 60, 300))
    lines = texts(status_frame(StatusSeen("App shop", status(mode)), width, 24))
    assert max(map(cell_width, lines)) <= width
    shown = "\n".join(lines)
    for part in ("In maintenance; waiting for 2 things", "migration 0042", " 1/4 ", "20%"):
        assert part in shown
    assert width < 120 or "queues" in shown


@pytest.mark.parametrize("width", [20, *WIDTHS])
def test_a_hostile_status(width: int) -> None:
    mode = replace(held(reason=EVIL * 100, who=EVIL), version=5)
    seen = StatusSeen(EVIL, status(mode, queues=(EVIL,), failure=EVIL), EVIL, EVIL)
    for height in (4, 10, 40):
        lines = texts(status_frame(seen, width, height))
        assert len(lines) <= height
        for line in lines:
            assert cell_width(line) <= width
            assert not UNSAFE.search(line)


def test_nothing_is_held_and_no_worker_is_there() -> None:
    quiet = Status(
        Mode(), NOW, judge(Mode(), [], BrokerReplies(), lease=30, heartbeat=5, queues=())
    )
    lines = texts(status_frame(StatusSeen("App shop", quiet), 80, 24))
    assert lines[1:] == ["Nothing is held: work runs", "", "No worker is there."]


# -- parts --------------------------------------------------------------------------------------


def test_numbers_spans_and_bars_are_short() -> None:
    numbers = (0, 999, 9_999, 10_000, 123_456, 4_560_000, 10**12)
    assert [short_number(number) for number in numbers] == [
        "0", "999", "9,999", "10.0k", "123k", "4.56M", "1.00T",
    ]  # fmt: skip
    assert [short_span(span) for span in (-1, 42, 370, 11_100, 10**6)] == [
        "0s", "42s", "6m10s", "3h05m", "11d",
    ]  # fmt: skip
    assert (bar(0.5, 4), bar(None, 3), bar(9, 2)) == ("██░░", "···", "██")
    assert (cut("abcdef", 4), cut("abcdef", 4, front=True), cut("日本語", 4)) == (
        "abc…", "…def", "日…",
    )  # fmt: skip

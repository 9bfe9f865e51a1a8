"""What a stopping worker says of the time that is left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.model.run.reasons import StopReason
from celery_graceful.stop import flag as stop_flag
from celery_graceful.worker.stopping.countdown import (
    EVERY,
    Countdown,
    described,
    next_line_in,
    what_runs,
)


@pytest.fixture
def flag() -> Iterator[stop_flag.StopFlag]:
    yield stop_flag.owned("worker@test")
    stop_flag.withdraw()


def task(number: int, seconds: float = 1.0) -> Any:
    return SimpleNamespace(name="shop.mail", id=f"id-{number}", seconds=seconds)


@given(st.floats(min_value=0, max_value=1e5))
def test_lines_come_more_often_towards_the_end_and_stay_few(left: float) -> None:
    lines = 0
    while left > 0:
        left -= next_line_in(left)
        lines += 1
    assert lines <= 20


def test_without_a_deadline_there_is_a_line_now_and_then() -> None:
    assert next_line_in(None) == EVERY


def test_ten_tasks_are_named() -> None:
    text = described([task(number, 61.2) for number in range(12)])
    assert text.startswith("shop.mail[id-0] (61 s), shop.mail[id-1] (61 s)")
    assert text.endswith("shop.mail[id-9] (61 s) and 2 more")


def test_a_stopping_worker_names_what_it_waits_for() -> None:
    assert what_runs(0, []) == "nothing is running"
    assert what_runs(0, [task(1)]) == "1 task is running: shop.mail[id-1] (1 s)"
    assert what_runs(1, []) == "1 iterable task is stopping after the current item"
    assert what_runs(2, [task(1)]) == (
        "2 iterable tasks are stopping after the current item;"
        " 1 other task is running: shop.mail[id-1] (1 s)"
    )


def test_a_line_is_written_when_it_is_due(
    flag: stop_flag.StopFlag, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "celery_graceful.worker")
    flag.raise_(StopReason.SHUTDOWN)
    flag.set_cut(time.monotonic() + 4.9)
    countdown = Countdown(flag)
    countdown.tell(lambda: [task(1)])
    assert caplog.messages == [], "not due yet"
    time.sleep(countdown.pause)
    countdown.tell(lambda: [task(1)])
    assert caplog.messages == ["2 s until tasks are cut off; still running: shop.mail[id-1] (1 s)"]
    countdown.tell(lambda: [task(1)])
    assert len(caplog.messages) == 1

"""What any task may ask: ``stopping``, ``time_left``, ``sleep``."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from celery_graceful import sleep, stopping, time_left
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.stop import flag, time_to_end


@pytest.fixture(autouse=True)
def _no_flag(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(flag.ENVIRONMENT, raising=False)
    flag.withdraw()
    yield
    flag.withdraw()


def took(seconds: float) -> tuple[StopReason | None, float]:
    began = time.monotonic()
    return sleep(seconds), time.monotonic() - began


def test_outside_of_a_worker() -> None:
    assert stopping() is None
    assert time_left() is None
    reason, lasted = took(0.12)
    assert reason is None
    assert lasted >= 0.12


def test_in_a_worker_that_works() -> None:
    flag.owned("w").set_deadline(time.monotonic() + 5)
    assert stopping() is None
    assert time_left() is None, "the deadline counts from the stop on"
    assert sleep(0.01) is None


def test_in_a_worker_that_stops() -> None:
    mine = flag.owned("w")
    mine.raise_(StopReason.SHUTDOWN)
    assert stopping() == "shutdown"
    assert stopping() is StopReason.SHUTDOWN
    assert time_left() is None
    mine.set_deadline(time.monotonic() + 30)
    left = time_left()
    assert left is not None
    assert 25 < left <= 30
    mine.set_deadline(time.monotonic() - 30)
    assert time_left() == 0.0


def test_who_is_cut_off_has_some_time_to_end() -> None:
    mine = flag.owned("w")
    mine.set_cut(time.monotonic())
    assert time_to_end() is None
    mine.raise_(StopReason.SHUTDOWN)
    assert time_left() == 0.0
    assert 9 < (time_to_end() or 0) <= 10
    mine.set_deadline(time.monotonic() + 5)
    assert 1 < (time_to_end() or 0) <= 2


def test_sleep_returns_at_once_when_the_worker_stops_already() -> None:
    flag.owned("w").raise_(StopReason.MAINTENANCE)
    reason, lasted = took(60)
    assert reason is StopReason.MAINTENANCE
    assert lasted < 5


@pytest.mark.parametrize("seconds", [60, float("inf")])
def test_sleep_returns_early_on_a_stop(seconds: float) -> None:
    mine = flag.owned("w")
    raised_at: list[float] = []

    def stop() -> None:
        raised_at.append(time.monotonic())
        mine.raise_(StopReason.SHUTDOWN)

    timer = threading.Timer(0.1, stop)
    timer.start()
    reason, _ = took(seconds)
    late = time.monotonic() - raised_at[0]
    timer.join()
    assert reason is StopReason.SHUTDOWN
    assert late < 2


@pytest.mark.parametrize("seconds", [0, -1])
def test_sleep_of_nothing(seconds: float) -> None:
    assert took(seconds)[0] is None
    flag.owned("w").raise_(StopReason.SHUTDOWN)
    assert took(seconds)[0] is StopReason.SHUTDOWN

"""Whom a termination signal leaves alone."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from celery import Celery

from celery_graceful.execution.stopping import guard
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.stop import flag as stop_flag


@pytest.fixture
def flag() -> Iterator[stop_flag.StopFlag]:
    yield stop_flag.owned("worker@test")
    stop_flag.withdraw()


@pytest.fixture
def lives_on() -> list[bool]:
    """What a signal within a task finds."""
    return []


def ask_in_task(answers: list[bool]) -> None:
    app = Celery("guarded", broker="memory://", set_as_current=False)

    @app.task(shared=False, name="guarded.ask")
    def ask() -> None:
        answers.append(guard._lives_on())

    ask.apply()
    app.close()


def test_between_two_tasks_a_child_may_end(flag: stop_flag.StopFlag) -> None:
    flag.raise_(StopReason.SHUTDOWN)
    assert not guard._lives_on()


@pytest.mark.parametrize(
    ("raised", "cold", "cut", "expected"),
    [
        (False, False, False, False),
        (True, False, False, False),
        (True, False, True, True),
        (True, True, True, False),
    ],
)
def test_a_plain_task_runs_on_until_the_cut(
    flag: stop_flag.StopFlag,
    lives_on: list[bool],
    raised: bool,
    cold: bool,
    cut: bool,
    expected: bool,
) -> None:
    if cut:
        flag.set_cut(time.monotonic() + 10)
    if raised:
        flag.raise_(StopReason.SHUTDOWN, cold=cold)
    ask_in_task(lives_on)
    assert lives_on == [expected]

"""What a guardian does next."""

from __future__ import annotations

import pytest

from celery_graceful.processes.guardian.escalation import KILL_PATIENCE, Step, next_step
from celery_graceful.processes.handle import granted


@pytest.mark.parametrize(
    ("now", "asked", "alive", "step"),
    [
        (100.0, None, True, Step.WATCH),
        (100.0, None, False, Step.WATCH),  # its owner wants to hear how it ended
        (100.0, 100.0, True, Step.ASK),
        (109.9, 100.0, True, Step.ASK),
        (100.0, 100.0, False, Step.LEAVE),
        (110.0, 100.0, True, Step.KILL),
        (110.0, 100.0, False, Step.LEAVE),
        (110.0 + KILL_PATIENCE, 100.0, True, Step.KILL),  # it stood still: nobody was killed yet
        (110.0 + KILL_PATIENCE, 100.0, False, Step.LEAVE),
    ],
)
def test_the_rungs(now: float, asked: float | None, alive: bool, step: str) -> None:
    assert next_step(now, asked, 10.0, alive) == step


def test_killing_ends_after_a_while() -> None:
    assert next_step(112.0, 100.0, 10.0, True, killing=KILL_PATIENCE - 0.01) == Step.KILL
    assert next_step(112.0, 100.0, 10.0, True, killing=KILL_PATIENCE) == Step.GIVE_UP
    assert next_step(112.0, 100.0, 10.0, False, killing=KILL_PATIENCE) == Step.LEAVE


def test_without_grace_it_is_killed_at_once() -> None:
    assert next_step(100.0, 100.0, 0.0, True) == Step.KILL


@pytest.mark.parametrize("now", [100.0, 150.0])
def test_nobody_is_killed_who_was_not_asked(now: float) -> None:
    assert next_step(now, 100.0, 0.0, True, was_asked=False) == Step.ASK
    assert next_step(now, 100.0, 0.0, False, was_asked=False) == Step.LEAVE


@pytest.mark.parametrize(
    ("left", "grace"), [(None, 10), (60, 10), (3.4, 3), (1.0, 0.6), (0, 0.5), (-1, 0.5)]
)
def test_the_grace_that_a_task_can_give(left: float | None, grace: float) -> None:
    assert granted(10, left) == pytest.approx(grace)
    assert granted(0.25, left) == 0.25

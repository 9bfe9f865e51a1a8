"""How long a leg waits for a store that is away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from celery_graceful.tasks import carried

LEASE = 30.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(carried, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_while_nobody_presses_it_waits_for_ever(clock: SimpleNamespace) -> None:
    flag: Any = SimpleNamespace(raised=False)
    enough = carried._patience(flag, LEASE)
    assert not enough(1_000_000.0)


def test_who_has_to_leave_waits_a_lease(clock: SimpleNamespace) -> None:
    flag: Any = SimpleNamespace(raised=True)
    enough = carried._patience(flag, LEASE)
    assert not enough(0.1)
    clock.now += LEASE
    assert not enough(LEASE - 0.1)
    assert enough(LEASE)


def test_who_waits_already_has_a_lease_from_the_stop_on(clock: SimpleNamespace) -> None:
    flag: Any = SimpleNamespace(raised=False)
    enough = carried._patience(flag, LEASE)
    assert not enough(2 * LEASE)
    flag.raised = True
    assert not enough(2 * LEASE)
    clock.now += LEASE
    assert enough(3 * LEASE)

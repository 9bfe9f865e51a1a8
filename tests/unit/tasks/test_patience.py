"""How long an execution waits for a store that is away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from celery_graceful.errors import StoreUnavailable
from celery_graceful.execution import owned
from celery_graceful.execution.journal.store_journal import StoreJournal
from celery_graceful.execution.journal.store_outage import STORE_RETRY

LEASE = 30.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(owned, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_while_nobody_presses_it_waits_for_ever(clock: SimpleNamespace) -> None:
    flag: Any = SimpleNamespace(raised=False)
    enough = owned._patience(flag, LEASE)
    assert not enough(1_000_000.0)


def test_who_has_to_leave_waits_a_lease(clock: SimpleNamespace) -> None:
    flag: Any = SimpleNamespace(raised=True)
    enough = owned._patience(flag, LEASE)
    assert not enough(0.1)
    clock.now += LEASE
    assert not enough(LEASE - 0.1)
    assert enough(LEASE)


def test_who_waits_already_has_a_lease_from_the_stop_on(clock: SimpleNamespace) -> None:
    flag: Any = SimpleNamespace(raised=False)
    enough = owned._patience(flag, LEASE)
    assert not enough(2 * LEASE)
    flag.raised = True
    assert not enough(2 * LEASE)
    clock.now += LEASE
    assert enough(3 * LEASE)


@pytest.mark.parametrize(
    ("patience", "lease_left", "for_seconds"),
    [(2.0, LEASE, 2.0), (0.0, LEASE, 0.0), (0.2, LEASE, 0.2), (100.0, 5.0, 5.0)],
)
def test_how_long_items_continue_without_the_store(
    patience: float, lease_left: float, for_seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Not until the lease ends: a crash would repeat all of that."""
    settings = SimpleNamespace(store_patience=patience, without_store="run", lease_ttl=LEASE)
    ticket: Any = SimpleNamespace(
        run="task[id]",
        runtime=SimpleNamespace(settings=settings),
        record=SimpleNamespace(crashes=0),
    )
    never: Any = None
    journal = StoreJournal(SimpleNamespace(cursor=7), ticket, never, never, 1.0)  # type: ignore[arg-type]
    journal.outage.lease_until = 1000.0 + lease_left
    gone = StoreUnavailable("connection refused")
    assert journal.failed(1000.0, gone) == 1000.0 + for_seconds
    assert journal.due == 1000.0 + min(STORE_RETRY, for_seconds)
    assert journal.failed(1000.4, gone) == 1000.0 + for_seconds, "from the first failure on"
    leave_at = journal.outage._leave_at
    assert leave_at == 1000.0 + for_seconds + STORE_RETRY, "then it leaves its slot"
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"items continue for {for_seconds:.1f} s (graceful_store_patience)" in line

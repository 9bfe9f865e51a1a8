"""Fixtures of several rooms."""

from __future__ import annotations

import pytest

from celery_graceful.maintenance import barrier_wait

#: In place of ``waiting.QUIET`` and ``LONG_QUIET``, in seconds.
QUIET, LONG_QUIET = 0.1, 0.3


@pytest.fixture
def quick_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker is in this process: who does not answer at once is not there."""
    monkeypatch.setattr(barrier_wait, "QUIET", QUIET)
    monkeypatch.setattr(barrier_wait, "LONG_QUIET", LONG_QUIET)
    monkeypatch.setattr(barrier_wait, "HEARTBEATS", LONG_QUIET)

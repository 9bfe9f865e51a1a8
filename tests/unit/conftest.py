"""Fixtures of several rooms."""

from __future__ import annotations

import pytest

from celery_graceful.maintenance import waiting

#: In place of ``waiting.QUIET`` and ``LONG_QUIET``, in seconds.
QUIET, LONG_QUIET = 0.1, 0.3


@pytest.fixture
def quick_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker is in this process: who does not answer at once is not there."""
    monkeypatch.setattr(waiting, "QUIET", QUIET)
    monkeypatch.setattr(waiting, "LONG_QUIET", LONG_QUIET)
    monkeypatch.setattr(waiting, "HEARTBEATS", LONG_QUIET)

"""When a hold ends, as people write it."""

from __future__ import annotations

import contextlib
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.views.fleet.ends_at import seconds_until

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 28, 14, 0, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ("  ", None),
        ("30m", 1800.0),
        ("90", 90.0),
        ("14:30", 1800.0),
        ("9:00", 18 * 3600.0),  # tomorrow, an hour of which is left out
        ("2026-03-28 15:00", 3600.0),
        ("2026-03-28T15:00Z", 2 * 3600.0),
        ("2026-03-28T15:00+01:00", 3600.0),
    ],
)
def test_it_is_read(text: str, seconds: float | None) -> None:
    assert seconds_until(text, NOW) == seconds


@pytest.mark.parametrize(
    "text", ["0", "25:00", "soon", "-5m", "2020-01-01 10:00", "\x00", "1" * 99]
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"Write how long|no time"):
        seconds_until(text, NOW)


@given(st.text())
def test_whatever_is_written(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert (seconds_until(text, NOW) or 1) > 0

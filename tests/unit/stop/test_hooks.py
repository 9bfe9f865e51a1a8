"""How long a stop hook sleeps."""

from __future__ import annotations

import pytest

from celery_graceful.grace.kubernetes import sleeps


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("sleep 15", 15),
        ("sleep 15s", 15),
        ("sleep 1m", 60),
        ("/bin/sleep 1m 30s", 90),
        ("sleep 0.5h", 1800),
        ("sh -c 'sleep 5' && sleep 3; touch 4", 8),
        ("sleep 5 2>/dev/null", 5),
        ("sleep $DELAY", 0),
        ("sleep 10x", 0),
        ("asleep 10", 0),
        ("celery control shutdown", 0),
    ],
)
def test_what_it_says(text: str, seconds: float) -> None:
    assert sleeps(text) == seconds

"""How far back a listing goes: whatever is asked, it is a moment of the calendar."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from celery_graceful.cli.show.filter_options import as_arguments
from celery_graceful.runs.listing.filters import Filter

NOW = 1_700_000_000.0
EAST, WEST = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))


@pytest.mark.parametrize(
    "since",
    [
        *("1" * 21, "1" * 300, "99999999d", timedelta.max),
        *(datetime.min, datetime.min.replace(tzinfo=EAST), datetime.min.replace(tzinfo=WEST)),
    ],
    ids=str,
)
def test_since_long_ago_leaves_out_no_run(since: str | timedelta | datetime) -> None:
    assert Filter(since=since).at(lambda: NOW).only().since <= 0.0


@pytest.mark.parametrize("zone", [None, timezone.utc, EAST, WEST], ids=str)
def test_since_the_end_of_the_calendar_leaves_out_all(zone: timezone | None) -> None:
    since = datetime.max.replace(tzinfo=zone)
    assert Filter(since=since).at(lambda: NOW).only().since > NOW


def test_since_a_while_ago() -> None:
    assert Filter(since="2h").at(lambda: NOW).only().since == NOW - 7200


def test_the_command_takes_any_duration() -> None:
    assert as_arguments({"since": "1" * 300})["since"] >= timedelta(days=10_000_000)

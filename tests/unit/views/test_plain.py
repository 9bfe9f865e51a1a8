"""What a cursor or carry looks like in JSON."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given

from celery_graceful.model.run.cursor import Checkpoint, decode, encode
from celery_graceful.views.runs import plain
from tests.unit.model.test_cursor import VALUES

NIL = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (7, 7),
        (1.5, 1.5),
        (True, True),
        ("é", "é"),
        ((1, "a", (2,)), [1, "a", [2]]),
        ([date(2026, 11, 30)], ["2026-11-30"]),
        (datetime(2026, 11, 30, 16, tzinfo=timezone.utc), "2026-11-30T16:00:00+00:00"),
        (time(16, 30), "16:30:00"),
        (timedelta(minutes=1, milliseconds=500), 60.5),
        (Decimal("1.10"), "1.10"),
        (UUID(NIL), NIL),
        (b"\x00\xff", "AP8="),
        ({"after": (1, 2)}, {"after": [1, 2]}),
        ({1: "one"}, [[1, "one"]]),
    ],
)
def test_a_value_in_json(value: Any, shown: Any) -> None:
    assert plain(value) == shown
    assert json.loads(json.dumps(plain(value))) == shown


@given(VALUES)
def test_whatever_can_be_saved_can_be_shown(value: Any) -> None:
    cursor = decode(encode(Checkpoint(value))).cursor
    json.dumps(plain(cursor), allow_nan=False)

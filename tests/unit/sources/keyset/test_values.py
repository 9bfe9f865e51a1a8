from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.errors import CursorError, SourceError
from celery_graceful.sources.keyset.values import decode, encode

zones: Any = st.none() | st.timezones() | st.just(timezone(timedelta(hours=5, seconds=7)))
values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.dates()
    | st.times()
    | st.datetimes(min_value=datetime(1900, 1, 1), timezones=zones)
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
)


@given(values)
def test_values_come_back_equal_and_of_the_same_type(value: Any) -> None:
    back = decode(json.loads(json.dumps(encode(value, "c"), allow_nan=False)), "c")
    assert type(back) is type(value)
    assert _moment(back) == _moment(value)


def _moment(value: Any) -> Any:
    """A moment in UTC: Python never calls two equal when one is in a gap of its zone."""
    zoned = isinstance(value, datetime) and value.tzinfo is not None
    return value.astimezone(timezone.utc) if zoned else value


def test_what_is_no_number_comes_back_as_such() -> None:
    assert math.isnan(decode(encode(math.nan, "c"), "c"))
    assert decode(encode(Decimal("NaN"), "c"), "c").is_nan()


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize("value", [Colour.RED, object(), [1], {"a": 1}])
def test_other_values_are_refused_with_column_and_value(value: Any) -> None:
    with pytest.raises(SourceError, match=r"the value of price is .* Order by another column"):
        encode(value, "price")


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"no": "x"},
        {"uuid": 1},
        {"uuid": "x"},
        {"datetime": "x"},
        {"decimal": "x"},
        [1],
        {"timedelta": 3},
    ],
)
def test_values_that_nobody_wrote(value: Any) -> None:
    with pytest.raises(CursorError, match="the cursor's value of price is"):
        decode(value, "price")


def test_subclasses_of_drivers_are_their_values() -> None:
    class Driver(UUID):
        pass

    plain = UUID(int=1)
    assert decode(encode(Driver(int=1), "c"), "c") == plain

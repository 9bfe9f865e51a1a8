"""Checkpoints come back equal and of the same type, or are refused with the part named."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.model.run.cursor import Checkpoint, decode, encode

ZONES = st.one_of(
    st.none(),
    st.just(timezone.utc),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"]).map(ZoneInfo),
    st.timedeltas(min_value=timedelta(hours=-23), max_value=timedelta(hours=23)).map(timezone),
)
WORDS = st.one_of(st.text(max_size=8), st.sampled_from(["$", "v", "tuple", "dict", ""]))
MOMENTS = st.datetimes(allow_imaginary=True, timezones=st.none())
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    WORDS,
    st.binary(max_size=8),
    st.dates(),
    st.builds(lambda m, z, f: m.replace(tzinfo=z, fold=f), MOMENTS, ZONES, st.sampled_from([0, 1])),
    st.builds(
        lambda m, z, f: m.replace(tzinfo=z, fold=f), st.times(), ZONES, st.sampled_from([0, 1])
    ),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.uuids(),
)
KEYS = st.one_of(SCALARS, st.tuples(SCALARS, SCALARS))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(WORDS, inner, max_size=3),
        st.dictionaries(KEYS, inner, max_size=3),
    ),
    max_leaves=8,
)


def seen(value: Any) -> Any:
    """What must not change, spelled out: types all the way down, zones, folds, digits, signs."""
    kind = type(value)
    if kind in (list, tuple):
        return kind, [seen(v) for v in value]
    if kind is dict:
        return kind, [(seen(k), seen(v)) for k, v in value.items()]
    if kind in (datetime, time):
        zone = value.tzinfo
        key = zone.key if isinstance(zone, ZoneInfo) else value.utcoffset()
        return kind, value.replace(tzinfo=None).isoformat(), value.fold, type(zone), key
    return kind, repr(value)


@given(cursor=VALUES, carry=st.dictionaries(WORDS, VALUES, max_size=3))
def test_comes_back_equal_and_of_the_same_type(cursor: Any, carry: dict[str, Any]) -> None:
    before = Checkpoint(cursor, carry, 7, 9)
    after = decode(encode(before))
    assert seen(after.cursor) == seen(cursor)
    assert seen(after.carry) == seen(carry)
    assert after.cursor == cursor
    assert (after.steps, after.total) == (7, 9)
    assert encode(after) == encode(before)


@pytest.mark.parametrize(
    "cursor",
    [
        datetime(2025, 10, 26, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=0),
        datetime(2025, 10, 26, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
        datetime(1, 1, 1, tzinfo=timezone.utc),
        datetime.max,
        datetime(2025, 1, 1, tzinfo=timezone(timedelta(microseconds=1))),
        time(2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
        time(0, 0, 0, 1, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
        date(9, 1, 1),
        timedelta.min,
        Decimal("1.10"),
        Decimal("-0"),
        Decimal("1E+400"),
        Decimal("-Infinity"),
        -0.0,
        5e-324,
        2**200,
        b"\x00\xff",
        (),
        ((1, (2, [3, ()])), None),
        {"$": "tuple", "v": [1]},
        {(1, b"x"): {date(2025, 1, 1): Decimal("2")}},
        "\x00\u2028\U0001f600\udcff",
    ],
    ids=repr,
)
def test_by_example(cursor: Any) -> None:
    assert seen(decode(encode(Checkpoint(cursor))).cursor) == seen(cursor)


def test_both_sides_of_a_clock_change_stay_an_hour_apart() -> None:
    zone = ZoneInfo("Europe/Berlin")
    first, second = (datetime(2025, 10, 26, 2, 30, tzinfo=zone, fold=f) for f in (0, 1))
    back = [decode(encode(Checkpoint(m))).cursor for m in (first, second)]
    assert back[1].timestamp() - back[0].timestamp() == 3600


def test_the_text_is_ascii_and_one_line() -> None:
    text = encode(Checkpoint("ä\n\u2028", {"ü": b"\n"}))
    assert text.isascii()
    assert text.isprintable()


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**40), st.none() | st.integers(0, 2**40))
def test_a_number_is_written_as_any_cursor_is(cursor: int, steps: int, total: int | None) -> None:
    """It has a way of its own, for speed."""
    alone = encode(Checkpoint(cursor, {}, steps, total))
    beside = encode(Checkpoint(cursor, {"a": 1}, steps, total))
    assert alone == beside.replace('{"a":1}', "{}")
    assert decode(alone) == Checkpoint(cursor, {}, steps, total)

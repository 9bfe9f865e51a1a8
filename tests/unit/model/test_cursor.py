"""Checkpoints come back equal and of the same type, or are refused with the part named."""

from __future__ import annotations

import json
import string
from collections import OrderedDict, namedtuple
from contextlib import suppress
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.errors import CursorError
from celery_graceful.model.cursor import MAX_BYTES, MAX_DEPTH, Checkpoint, decode, encode

# -- what comes back --------------------------------------------------------------------------

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


# -- what is refused --------------------------------------------------------------------------


class Colour(IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Moment(datetime):
    pass


class Silent:
    """No equality worth the name."""


Point = namedtuple("Point", "x y")


def loop_of(kind: type) -> Any:
    if kind is dict:
        mapping: dict[str, Any] = {}
        mapping["self"] = mapping
        return mapping
    chain: list[Any] = []
    chain.append(chain if kind is list else (chain,))
    return chain


REFUSED = {
    "set": {1, 2},
    "frozenset": frozenset([1]),
    "IntEnum": Colour.RED,
    "str subclass": Text("x"),
    "int subclass": Number(1),
    "datetime subclass": Moment(2025, 1, 1),
    "namedtuple": Point(1, 2),
    "OrderedDict": OrderedDict(a=1),
    "bytearray": bytearray(b"x"),
    "complex": 1j,
    "range": range(3),
    "generator": (i for i in "ab"),
    "object": Silent(),
    "class": int,
    "function": len,
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": float("-inf"),
    "Decimal nan": Decimal("nan"),
    "Decimal snan": Decimal("sNaN"),
    "self-containing list": loop_of(list),
    "self-containing dict": loop_of(dict),
    "self-containing tuple in a list": loop_of(tuple),
    "more digits than Python prints": 10**5000,
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED.keys())
def test_refused_with_the_part_named(value: Any) -> None:
    with pytest.raises(CursorError, match="cursor"):
        encode(Checkpoint(value))
    with pytest.raises(CursorError, match="carry"):
        encode(Checkpoint(carry={"sum": value}))


@pytest.mark.parametrize("where", ["list", "tuple", "value", "key"])
def test_the_message_leads_to_the_part(where: str) -> None:
    bad = Point(1, 2)
    cursor, part = {
        "list": ([0, [1, bad]], r"cursor\[1\]\[1\]"),
        "tuple": ((0, (1, bad)), r"cursor\[1\]\[1\]"),
        "value": ({"a": {3: bad}}, r"cursor\['a'\]\[3\]"),
        "key": ({"a": {bad: 3}}, r"a key of cursor\['a'\]"),
    }[where]
    with pytest.raises(CursorError, match=rf"^{part} is a .*Point"):
        encode(Checkpoint(cursor))


@pytest.mark.parametrize("carry", [None, [("a", 1)], OrderedDict(a=1), "x"], ids=repr)
def test_carry_has_to_be_a_dict(carry: Any) -> None:
    with pytest.raises(CursorError, match="carry must be a dict"):
        encode(Checkpoint(carry=carry))


@pytest.mark.parametrize("cursor", ["\ud83d\ude00", ["\ud800\udc00"]], ids=["bare", "in a list"])
def test_two_surrogates_that_json_would_join_are_refused(cursor: Any) -> None:
    with pytest.raises(CursorError, match="cursor"):
        encode(Checkpoint(cursor))


class Vague(tzinfo):
    """A zone that gives no offset without a date, as many do."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else timedelta(hours=1)

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        return None


def test_a_time_in_a_zone_that_would_be_lost_is_refused() -> None:
    with pytest.raises(CursorError, match="cursor"):
        encode(Checkpoint(time(1, tzinfo=Vague())))


def test_a_zone_without_a_key_is_refused() -> None:
    with open(f"{_tzdata()}", "rb") as file:
        zone = ZoneInfo.from_file(file)
    with pytest.raises(CursorError, match=r"cursor\[0\] has a time zone without a key"):
        encode(Checkpoint([datetime(2025, 1, 1, tzinfo=zone)]))


def _tzdata() -> str:
    from pathlib import Path
    from zoneinfo import TZPATH

    for folder in TZPATH:
        path = Path(folder) / "Europe" / "Berlin"
        if path.exists():
            return str(path)
    pytest.skip("no time zone files")


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_a_value_that_cannot_even_be_shown() -> None:
    with pytest.raises(CursorError, match=r"cursor is a .*Unprintable"):
        encode(Checkpoint(Unprintable()))


@pytest.mark.parametrize("total", [Decimal(3), 3.5, "3", float("inf")], ids=repr)
def test_a_total_that_is_no_count_is_refused(total: Any) -> None:
    with pytest.raises(CursorError, match=r"total|count"):
        encode(Checkpoint(total=total))


# -- size and depth ---------------------------------------------------------------------------


def test_the_limit_in_bytes() -> None:
    rest = len(encode(Checkpoint("")))
    assert len(encode(Checkpoint("x" * (MAX_BYTES - rest)))) == MAX_BYTES
    with pytest.raises(CursorError, match=rf"take {MAX_BYTES + 1} bytes.*cursor 65"):
        encode(Checkpoint("x" * (MAX_BYTES - rest + 1)))


def test_the_limit_names_the_larger_part() -> None:
    with pytest.raises(CursorError, match=r"cursor 1, carry \d{6}"):
        encode(Checkpoint(1, {"seen": list(range(30_000))}))


def test_bytes_are_counted_not_characters() -> None:
    with pytest.raises(CursorError, match="at most"):
        encode(Checkpoint("ä" * (MAX_BYTES // 3)))


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_the_deepest(kind: type) -> None:
    def nested(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = {"a": value} if kind is dict else kind([value])
        return value

    assert decode(encode(Checkpoint(nested(MAX_DEPTH)))).cursor == nested(MAX_DEPTH)
    with pytest.raises(CursorError, match=f"deeper than {MAX_DEPTH}"):
        encode(Checkpoint(nested(MAX_DEPTH + 2)))


# -- corrupt text -----------------------------------------------------------------------------

GOOD: dict[str, Any] = {"cursor": 1, "carry": {}, "steps": 2, "total": None}


def told(kind: Any, value: Any = None) -> dict[str, Any]:
    return {**GOOD, "cursor": {"$": kind, "v": value}}


CORRUPT: dict[str, Any] = {
    "empty": "",
    "words": "not json",
    "cut off": json.dumps(GOOD)[:-3],
    "null": "null",
    "a number": "7",
    "a list": "[]",
    "nothing in it": "{}",
    "deep": "[" * 100_000,
    "no steps": {k: v for k, v in GOOD.items() if k != "steps"},
    "no total": {k: v for k, v in GOOD.items() if k != "total"},
    "steps null": {**GOOD, "steps": None},
    "steps a word": {**GOOD, "steps": "many"},
    "steps without end": '{"cursor":1,"carry":{},"steps":Infinity,"total":null}',
    "total a word": {**GOOD, "total": "many"},
    "carry a list": {**GOOD, "carry": [1]},
    "carry null": {**GOOD, "carry": None},
    "carry a tuple": {**GOOD, "carry": {"$": "tuple", "v": []}},
    "unknown type": told("set", []),
    "no type": told(None, []),
    "type a list": told([], []),
    "no value": {**GOOD, "cursor": {"$": "tuple"}},
    "tuple of a number": told("tuple", 5),
    "dict of numbers": told("dict", [1, 2]),
    "dict with a list as key": told("dict", [[[1], 2]]),
    "bytes": told("bytes", "0g"),
    "bytes of a number": told("bytes", 5),
    "date": told("date", "2025-13-01"),
    "date of a number": told("date", 5),
    "datetime": told("datetime", ["2025-01-01", 0]),
    "datetime with a fold of 2": told("datetime", ["2025-01-01", 2, None]),
    "datetime with a fold of a word": told("datetime", ["2025-01-01", "x", None]),
    "datetime in no zone": told("datetime", ["2025-01-01T00:00:00", 0, "Atlantis"]),
    "datetime in a folder": told("datetime", ["2025-01-01T00:00:00", 0, "Europe"]),
    "datetime in a path": told("datetime", ["2025-01-01T00:00:00", 0, "../../etc/passwd"]),
    "datetime in an absolute path": told("datetime", ["2025-01-01T00:00:00", 0, "/etc/passwd"]),
    "datetime in a number": told("datetime", ["2025-01-01T00:00:00", 0, 5]),
    "time": told("time", ["25:00", 0, None]),
    "timedelta": told("timedelta", ["x", 0, 0]),
    "timedelta too long": told("timedelta", [10**12, 0, 0]),
    "timedelta of a number": told("timedelta", 5),
    "Decimal": told("Decimal", "1,5"),
    "Decimal of null": told("Decimal", None),
    "UUID": told("UUID", "zz"),
    "UUID of a number": told("UUID", 5),
    "UUID of null": told("UUID", None),
}


@pytest.mark.parametrize("data", CORRUPT.values(), ids=CORRUPT.keys())
def test_corrupt_text(data: Any) -> None:
    text = data if isinstance(data, str) else json.dumps(data)
    with pytest.raises(CursorError, match="saved checkpoint cannot be read"):
        decode(text)


@given(st.data())
def test_a_changed_text_is_read_or_refused(data: st.DataObject) -> None:
    before = encode(Checkpoint((uuid4(), Decimal(1), datetime(2025, 1, 1)), {"a": b"x"}, 1, 2))
    at = data.draw(st.integers(0, len(before) - 1))
    with_ = data.draw(st.sampled_from([*string.printable, ""]))
    try:
        read = decode(before[:at] + with_ + before[at + 1 :])
    except CursorError:
        return
    assert type(read.carry) is dict
    assert type(read.steps) is int


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["$", "v", "a"]), inner, max_size=3),
        st.fixed_dictionaries(
            {
                "$": st.sampled_from(["tuple", "dict", "bytes", "date", "datetime", "time"])
                | st.sampled_from(["timedelta", "Decimal", "UUID"]),
                "v": inner,
            }
        ),
    ),
    max_leaves=6,
)


@given(cursor=JSON)
def test_any_other_json_is_read_or_refused(cursor: Any) -> None:
    with suppress(CursorError):
        decode(json.dumps({**GOOD, "cursor": cursor}))

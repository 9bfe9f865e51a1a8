"""What would not come back as it was is refused at once, with the part named."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from datetime import datetime, time, timedelta, tzinfo
from decimal import Decimal
from enum import IntEnum
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from celery_graceful.errors import CursorError
from celery_graceful.model.run.cursor import MAX_BYTES, Checkpoint, decode, encode
from celery_graceful.model.typed_values import MAX_DEPTH


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

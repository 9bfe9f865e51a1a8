"""A checkpoint that is no longer what was written: read or refused, never half read."""

from __future__ import annotations

import json
import string
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.errors import CursorError
from celery_graceful.model.run.cursor import Checkpoint, decode, encode

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
    "steps of 400 digits": {**GOOD, "steps": 10**400},
    "steps negative": {**GOOD, "steps": -1},
    "steps true": {**GOOD, "steps": True},
    "total of 400 digits": {**GOOD, "total": 10**400},
    "errors negative": {**GOOD, "errors": -1},
    "batch negative": {**GOOD, "batch": -5},
    "pace of 400 digits": {**GOOD, "pace": [[1, 10**400]]},
    "pace true": {**GOOD, "pace": [[True, 1]]},
    "cursor no number": '{"cursor":NaN,"carry":{},"steps":1,"total":null}',
    "cursor without end": '{"cursor":1e400,"carry":{},"steps":1,"total":null}',
    "cursor twice": '{"cursor":1,"cursor":2,"carry":{},"steps":1,"total":null}',
    "deep in the cursor": '{"cursor":' + "[" * 100_000,
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
    "datetime in a fraction": told("datetime", ["2025-01-01T00:00:00", 0, 0.5]),
    "datetime in an offset of days": told("datetime", ["2025-01-01T00:00:00", 0, 10**12]),
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

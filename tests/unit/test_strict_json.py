"""JSON that anybody may have written: a value, or ValueError, in no time."""

from __future__ import annotations

import math
from typing import Any

import pytest

from celery_graceful.text import strict_json

REFUSED = {
    "nothing": "",
    "words": "no JSON",
    "cut off": '{"a": 1',
    "more than one": "1 2",
    "not a number": "NaN",
    "infinite": "[Infinity]",
    "negative infinite": '{"a": -Infinity}',
    "a float that is infinite": "1e400",
    "more digits than Python converts": "1" * 5000,
    "a number of 401 digits": "1" + "0" * 400,
    "deep": "[" * 200_000 + "]" * 200_000,
    "deep objects": '{"a":' * 200_000,
    "a key twice": '{"a": 1, "a": 2}',
    "bytes that are no UTF-8": b'"\xff"',
    "too long": " " * 100_000_000 + "1",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        strict_json.loads(text)


def test_what_is_read() -> None:
    assert strict_json.loads('{"a": [1, 2.5, null, true, "\\ud800"]}') == {
        "a": [1, 2.5, None, True, "\ud800"]
    }
    assert strict_json.loads(b'"\xc3\xbc"') == "ü"


@pytest.mark.parametrize("value", [True, 1.0, "1", None, [1], -1, 2**53 + 1, 10**400, math.inf])
def test_what_is_no_whole_number(value: Any) -> None:
    with pytest.raises(ValueError, match="its version is"):
        strict_json.whole(value, "its version")


@pytest.mark.parametrize(
    "value", [True, "1", None, [], -1, -0.5, 1e300, 10**400, math.inf, -math.inf, math.nan]
)
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(ValueError, match="its age is"):
        strict_json.number(value, "its age")


@pytest.mark.parametrize("value", [1, None, b"x", [], "x" * 11])
def test_what_is_no_text(value: Any) -> None:
    with pytest.raises(ValueError, match="its name is"):
        strict_json.text(value, "its name", 10)


def test_what_is_no_list_of_names() -> None:
    for value in ("ab", {"a": 1}, [1], None):
        with pytest.raises(ValueError, match="queues"):
            strict_json.names(value, "queues")
    assert strict_json.names(["a", "b"], "queues") == ("a", "b")

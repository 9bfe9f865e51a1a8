"""Reading replies, whole and in pieces."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import InvalidResponse, ResponseError

from celery_graceful.stores.redis_reply import Incomplete, parse

replies = st.recursive(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=12,
)


def written(value: Any) -> bytes:
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, bytes):
        return b"$%d\r\n%b\r\n" % (len(value), value)
    return b"*%d\r\n%b" % (len(value), b"".join(map(written, value)))


@given(replies)
def test_a_reply_comes_back(value: Any) -> None:
    data = written(value)
    assert parse(data, ResponseError) == (value, len(data))
    assert parse(data + b":1\r\n", ResponseError) == (value, len(data))


@given(replies)
def test_a_part_of_a_reply_is_told_from_a_whole_one(value: Any) -> None:
    data = written(value)
    for cut in range(len(data)):
        with pytest.raises(Incomplete):
            parse(data[:cut], ResponseError)


def test_a_status_is_text_and_an_error_is_returned() -> None:
    assert parse(b"+OK\r\n", ResponseError) == (b"OK", 5)
    answer, _ = parse(b"-NOSCRIPT No matching script\r\n", ResponseError)
    assert isinstance(answer, ResponseError)
    assert str(answer) == "NOSCRIPT No matching script"
    assert parse(b"*-1\r\n", ResponseError) == (None, 5)


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n", b"\r\n", b"%1\r\n"])
def test_what_is_no_reply_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidResponse, match="begins with"):
        parse(data, ResponseError)

"""Reading replies, whole and in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import InvalidResponse, ResponseError

from celery_graceful.stores.redis.reply import read

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


def receiving(pieces: Iterable[bytes]) -> Callable[[], bytes]:
    stream = iter(pieces)

    def receive() -> bytes:
        for piece in stream:
            if piece:
                return piece
        raise EOFError

    return receive


@given(replies, st.data())
def test_a_reply_comes_back_in_however_many_pieces(value: Any, draw: st.DataObject) -> None:
    data = written(value)
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert read(receiving(pieces), ResponseError) == value


@given(replies)
def test_a_part_of_a_reply_is_not_taken_for_a_whole_one(value: Any) -> None:
    data = written(value)
    for cut in range(len(data)):
        with pytest.raises(EOFError):
            read(receiving([data[:cut]]), ResponseError)


@given(replies)
def test_nothing_may_follow(value: Any) -> None:
    with pytest.raises(InvalidResponse, match="goes on"):
        read(receiving([written(value) + b":1\r\n"]), ResponseError)


def test_a_large_reply_takes_time_in_proportion() -> None:
    value = [b"x" * 100_000] * 300
    data = written(value)
    pieces = [data[i : i + 4096] for i in range(0, len(data), 4096)]
    assert read(receiving(pieces), ResponseError) == value  # minutes, if parsed anew per piece


def test_a_status_is_text_and_an_error_is_returned() -> None:
    assert read(receiving([b"+OK\r\n"]), ResponseError) == b"OK"
    answer = read(receiving([b"-NOSCRIPT No matching script\r\n"]), ResponseError)
    assert isinstance(answer, ResponseError)
    assert str(answer) == "NOSCRIPT No matching script"
    assert read(receiving([b"*-1\r\n"]), ResponseError) is None


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n", b"\r\n", b"%1\r\n", b"$x\r\n", b":\r\n", b"*a\r\n"]
)
def test_what_is_no_reply_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidResponse, match="reply"):
        read(receiving([data]), ResponseError)

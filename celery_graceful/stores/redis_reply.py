"""Reading what a Redis server answers to a script: RESP 2, as redis.io specifies it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.exceptions import InvalidResponse

__all__ = ["Incomplete", "parse"]

Failed = Callable[[str], Exception]


class Incomplete(Exception):
    """More has to be received first."""


def parse(data: bytes, failed: Failed) -> tuple[Any, int]:
    """Read one reply: integers, bulk strings, ``None``, and lists of these.

    Args:
        data: what was received so far.
        failed: makes the exception that stands for an error reply; it is returned, not raised.

    Returns:
        The reply, and how many bytes of ``data`` it takes.

    Raises:
        Incomplete: the reply goes on after ``data``.
        InvalidResponse: this is no reply.
    """
    return _value(data, 0, failed)


def _value(data: bytes, at: int, failed: Failed) -> tuple[Any, int]:
    end = data.find(b"\r\n", at)
    if end < 0:
        raise Incomplete
    kind, head, at = data[at : at + 1], data[at + 1 : end], end + 2
    if kind == b"$":
        return _bulk(data, at, int(head))
    if kind == b"*":
        return _list(data, at, int(head), failed)
    if kind == b":":
        return int(head), at
    if kind == b"+":
        return head, at
    if kind == b"-":
        return failed(head.decode("utf-8", "replace")), at
    raise InvalidResponse(f"the reply begins with {data[:20]!r}")


def _bulk(data: bytes, at: int, size: int) -> tuple[bytes | None, int]:
    if size < 0:
        return None, at
    if len(data) < at + size + 2:
        raise Incomplete
    return data[at : at + size], at + size + 2


def _list(data: bytes, at: int, size: int, failed: Failed) -> tuple[list[Any] | None, int]:
    if size < 0:
        return None, at
    values = []
    for _ in range(size):
        value, at = _value(data, at, failed)
        values.append(value)
    return values, at

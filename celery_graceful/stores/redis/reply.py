"""Reading what a Redis server answers to a script: RESP 2, as redis.io specifies it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.exceptions import InvalidResponse

_END = b"\r\n"
#: A status or an error is one line, and no longer than this, in bytes.
_LONGEST = 1024 * 1024


def read(receive: Callable[[], bytes], failed: Callable[[str], Exception]) -> Any:
    """Read one reply: integers, bulk strings, ``None``, and lists of these.

    Args:
        receive: gets some more bytes, at least one; may raise.
        failed: makes the exception that stands for an error reply; it is returned, not raised.

    Raises:
        InvalidResponse: this is no reply, or there is more than one.
    """
    reader = _Reader(receive, failed)
    value = reader.value()
    reader.expect_end()
    return value


class _Reader:
    """Looks at each byte once, in however many pieces they come."""

    __slots__ = ("_at", "_data", "_failed", "_receive")

    def __init__(self, receive: Callable[[], bytes], failed: Callable[[str], Exception]) -> None:
        self._receive = receive
        self._failed = failed
        self._data: bytes | bytearray = receive()
        self._at = 0

    def value(self) -> Any:
        line = self._line()
        kind, head = line[:1], line[1:]
        if kind == b"$":
            return self._bulk(_size(line))
        if kind == b"*":
            size = _size(line)
            return None if size < 0 else [self.value() for _ in range(size)]
        if kind == b":":
            return _size(line)
        if kind == b"+":
            return head
        if kind == b"-":
            return self._failed(head.decode("utf-8", "replace"))
        raise InvalidResponse(f"the reply begins with {line[:20]!r}")

    def expect_end(self) -> None:
        if self._at != len(self._data):
            raise InvalidResponse("the reply goes on after its end")

    def _bulk(self, size: int) -> bytes | None:
        if size < 0:
            return None
        begin, self._at = self._at, self._at + size + len(_END)
        while len(self._data) < self._at:
            self._more()
        return bytes(self._data[begin : begin + size])

    def _line(self) -> bytes:
        while (end := self._data.find(_END, self._at)) < 0:
            if len(self._data) - self._at > _LONGEST:
                raise InvalidResponse(f"the reply begins with {bytes(self._data[:20])!r}")
            self._more()
        begin, self._at = self._at, end + len(_END)
        return bytes(self._data[begin:end])

    def _more(self) -> None:
        if isinstance(self._data, bytes):
            self._data = bytearray(self._data)  # grows without being copied each time
        self._data += self._receive()


def _size(line: bytes) -> int:
    try:
        return int(line[1:])
    except ValueError as exc:
        raise InvalidResponse(f"the reply has {line[:20]!r} in it") from exc

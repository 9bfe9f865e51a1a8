"""What distinguishes one state of a file from another, in a text that is saved with the cursor."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from celery_graceful.errors import CursorError
from celery_graceful.sources.basic import whole_cursor

#: A file of up to _BLOCKS blocks is digested whole, of a larger one so many blocks in it.
_BLOCKS, _BLOCK = 8, 8192


#: ``[offset, fingerprint]``; an offset alone is understood as well, and not checked.
FileCursor: TypeAlias = list[Any]


class Position(NamedTuple):
    """A cursor taken apart: where to resume, and the file that it was taken from."""

    offset: int
    fingerprint: str | None


def position(source: str, cursor: object) -> Position:
    """What a cursor of a file means: ``[offset, fingerprint]``, or an offset alone, or ``None``.

    Raises:
        CursorError: it is anything else; names ``source``.
    """
    if isinstance(cursor, (list, tuple)):
        if len(cursor) != 2 or not is_fingerprint(cursor[1]) or cursor[0] is None:
            raise CursorError(
                f"{source}: the cursor must be [offset, fingerprint], an offset or None,"
                f" not {cursor!r}; pass on the cursor that the source yielded"
            )
        return Position(whole_cursor(source, cursor[0]) or 0, cursor[1])
    return Position(whole_cursor(source, cursor) or 0, None)


def is_fingerprint(value: object) -> bool:
    """Whether ``value`` has the form of what :func:`fingerprint` returns."""
    if not isinstance(value, str):
        return False
    size, dash, version = value.partition("-")
    return bool(dash and version and size.isascii() and size.isdigit())


def fingerprint(size: int, version: str) -> str:
    """The size of a file in bytes, and an ETag or a digest of its content."""
    return f"{size}-{version}"


def digest(file: BinaryIO, size: int) -> str:
    """A digest of the first ``size`` bytes of ``file``: of all, or of blocks all over them.

    The first and the last block are always among them.
    """
    found = blake2b(digest_size=8)
    if size <= _BLOCKS * _BLOCK:
        file.seek(0)
        found.update(_exactly(file, size))
    else:
        for block in range(_BLOCKS):
            file.seek(block * (size - _BLOCK) // (_BLOCKS - 1))
            found.update(_exactly(file, _BLOCK))
    file.seek(0)
    return found.hexdigest()


def _exactly(file: BinaryIO, size: int) -> bytes:
    parts = []
    while size and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def what_changed(before: str, now: str, digest_of: Callable[[int], str] | None) -> str | None:
    """How a file differs from the one of the fingerprint ``before``; ``None``: it is the same.

    A file that has only grown is the same, when ``digest_of`` can read what it was.
    """
    if before == now:
        return None
    old_size, _, old_version = before.partition("-")
    new_size = now.partition("-")[0]
    if digest_of is None:
        if old_size == new_size:
            return f"it is another version of {new_size} bytes"
    elif int(new_size) >= int(old_size):
        if digest_of(int(old_size)) == old_version:
            return None
        return f"its first {old_size} bytes are not what they were"
    return f"it had {old_size} bytes and now has {new_size}"


def size_of(file: BinaryIO) -> int:
    """The bytes in an open file, which is left at its start."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size

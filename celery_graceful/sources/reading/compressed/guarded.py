"""A decompressing file: its errors say which file and byte, and its end is checked."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Protocol

from celery_graceful.errors import SourceError

#: After a seek, so that the first item does not wait for bytes that nobody has asked for.
_FIRST_READ = 1 << 16
# Large: a read of a gzip file begins at a point of its index, whatever was read before.
_BUFFER = 1 << 22


class Decompressing(Protocol):
    """What is read through: the file of a package for one format."""

    def readinto(self, buffer: memoryview, /) -> int: ...

    def seek(self, offset: int, /) -> int: ...


class Guarded(io.RawIOBase):
    """Reads ``inner``; decompression errors become :exc:`~celery_graceful.errors.SourceError`.

    Args:
        inner: the decompressing file.
        name: of the file, in errors.
        errors: what ``inner`` raises when the data are wrong.
        read: called with the bytes of each read, and the offset before them.
        at_end: called with the size when the end is reached, before the last data are used: a
            truncated file may look like a short one.
    """

    def __init__(
        self,
        inner: Decompressing,
        name: str,
        errors: tuple[type[Exception], ...],
        *,
        read: Callable[[memoryview, int], None] | None = None,
        at_end: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__()
        self._inner, self._name, self._errors = inner, name, errors
        self._read, self._at_end = read, at_end
        self._position, self._limit = 0, _FIRST_READ

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a byte of the content; beyond the end means to the end."""
        assert whence != io.SEEK_END, "the size of a compressed file is known at its end only"
        target = offset + (self._position if whence == io.SEEK_CUR else 0)
        if target != self._position:
            self._position = self._call(self._inner.seek, target)
            self._limit = _FIRST_READ
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer)[: self._limit]
        count = self._call(self._inner.readinto, view)
        if count < 0:
            raise self._wrong("the data are corrupt")
        if count == 0 and self._at_end is not None and len(view):
            self._at_end(self._position)
        if count and self._read is not None:
            self._read(view[:count], self._position)
        self._position += count
        self._limit = min(self._limit * 2, _BUFFER)
        return count

    def buffered(self) -> io.BufferedReader:
        """This file with a buffer: for lines."""
        return io.BufferedReader(self, _BUFFER)

    def _call(self, function: Callable[[Any], int], argument: object) -> int:
        try:
            return function(argument)
        except self._errors as exc:
            if exc.__cause__ is not None:
                raise exc.__cause__ from None  # of the file below: the data may be right
            raise self._wrong(str(exc)) from exc

    def _wrong(self, why: str) -> SourceError:
        return SourceError(
            f"{self._name} cannot be decompressed after byte {self._position} of its content"
            f" ({why}); restore the file and retry, which resumes"
        )

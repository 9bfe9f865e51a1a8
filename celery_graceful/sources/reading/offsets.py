"""The lines of a file with the byte offset at which each ends."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from itertools import accumulate, chain
from operator import methodcaller
from typing import BinaryIO

from celery_graceful.errors import CursorError

#: The first read is small, for the sake of the first item; the next ones are larger.
_FIRST_CHUNK, _CHUNK = 1 << 13, 1 << 17
# Their meaning of a byte depends on those before it, line ends or not.
_STATEFUL = ("iso2022", "hz", "utf-7", "idna", "punycode")


def check_encoding(source: str, encoding: str) -> None:
    """Refuse encodings whose lines cannot be read on their own.

    Raises:
        CursorError: for UTF-16, UTF-32, UTF-7, ISO-2022 and the like.
        LookupError: there is no such encoding.
    """
    name = codecs.lookup(encoding).name
    if "\r\n".encode(encoding) not in (b"\r\n", codecs.BOM_UTF8 + b"\r\n") or name.startswith(
        _STATEFUL
    ):
        raise CursorError(
            f"{source}: a file in the encoding {encoding!r} cannot be read from its middle;"
            f" convert it first, for example: iconv -f {encoding} -t utf-8"
        )


def is_utf8(encoding: str) -> bool:
    """Whether ``encoding`` is UTF-8, by any of its names, with or without a BOM."""
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


class Lines:
    """The lines of an open file as text, from a byte offset on.

    A line ends with ``\\n``, ``\\r\\n`` or ``\\r``, as with ``open(newline="")``, and keeps it.
    After *n* lines were taken, ``ends[n - first]`` is the offset behind the last of them. Both are
    replaced with every chunk, so that no Python runs per line.
    """

    def __init__(self, file: BinaryIO, encoding: str, errors: str = "strict") -> None:
        self.first = 0
        self.ends = [0]
        self._file = file
        self._utf8 = is_utf8(encoding)
        self._decode: Callable[[bytes], str] = methodcaller("decode", encoding, errors)
        if self._utf8:
            # Not utf-8-sig, which would leave out every line's BOM; and a third faster.
            self._decode = (
                bytes.decode if errors == "strict" else methodcaller("decode", "utf-8", errors)
            )

    def start(self, offset: int) -> Iterator[str]:
        """The lines from ``offset`` on, which is 0 or where a line ended; a BOM is left out."""
        self._file.seek(offset)
        self.first, self.ends = 0, [offset]
        return chain.from_iterable(self._chunks(offset))

    def _chunks(self, offset: int) -> Iterator[Iterator[str]]:
        if offset == 0 and self._utf8 and self._file.read(3) != codecs.BOM_UTF8:
            self._file.seek(0)
        position = self._file.tell()
        self.ends = [position]
        size = min(_FIRST_CHUNK, _CHUNK)
        # With the rest of the last line, so that every chunk ends where a line does.
        while chunk := self._file.read(size) + self._file.readline():
            size = min(size * 2, _CHUNK)
            raw = chunk.splitlines(keepends=True)
            self.first += len(self.ends) - 1
            self.ends = list(accumulate(map(len, raw), initial=position))
            position = self.ends[-1]
            yield map(self._decode, raw)


def located(error: UnicodeDecodeError, name: str, offset: int) -> UnicodeDecodeError:
    """``error`` with the file and the place in it added to its reason."""
    where = f"{error.reason}, in {name} after byte {offset}"
    return UnicodeDecodeError(error.encoding, error.object, error.start, error.end, where)

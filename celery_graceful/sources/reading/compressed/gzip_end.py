"""Whether a gzip file is complete: zlib's index reader takes a truncated one for a shorter one."""

from __future__ import annotations

import os
import zlib
from typing import BinaryIO

from celery_graceful.errors import SourceError

_MAGIC = b"\x1f\x8b\x08"
_CHUNK = 1 << 18
_SMALLEST = 18  # bytes of a member without content
#: So many bytes do not decompress by chance.
_SURE = 1024


def check_end(file: BinaryIO, name: str, size: int, crc: int | None) -> None:
    """Check the end of a gzip file of which ``size`` bytes of content were read.

    A file of one member says the size and the checksum of its content at its end (`RFC 1952
    <https://www.rfc-editor.org/rfc/rfc1952>`_). Of several members, as ``cat a.gz b.gz`` makes,
    the last one is decompressed once more.

    Args:
        crc: the checksum of the content, if all of it was read.

    Raises:
        SourceError: the file is truncated, or is not the content that its checksum says.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - 8))
    trailer = file.read(8)
    if end >= _SMALLEST and int.from_bytes(trailer[4:], "little") == size % 2**32:
        if crc is not None and crc != int.from_bytes(trailer[:4], "little"):
            raise SourceError(
                f"{name} is damaged: its checksum is not that of its content ({size} bytes);"
                " restore the file, and check what was made of its content"
            )
    elif not _last_member_is_whole(file, end):
        raise SourceError(
            f"{name} is truncated, or has other data behind its end: its compressed data end after"
            f" byte {size} of the content; restore the file and retry, which resumes"
        )


def _last_member_is_whole(file: BinaryIO, end: int) -> bool:
    """Whether from some member's start to ``end`` there are complete members, and then zeros."""
    upper = end
    while upper > 0:
        start = max(0, upper - _CHUNK)
        file.seek(start)
        block = file.read(min(end, upper + len(_MAGIC) - 1) - start)
        at = block.rfind(_MAGIC)
        while at >= 0:
            whole = _members_from(file, start + at)
            if whole is not None:
                return whole
            at = block.rfind(_MAGIC, 0, at + len(_MAGIC) - 1)
        upper = start
    return False


def _members_from(file: BinaryIO, start: int) -> bool | None:
    """Whether the members from ``start`` on are complete; ``None``: none begins there, it seems."""
    file.seek(start)
    reader, read, ended = zlib.decompressobj(wbits=31), 0, False
    try:
        while data := file.read(_CHUNK):
            read += len(data)
            while data:
                if ended:
                    data = data.lstrip(b"\0")
                    if not data:
                        break
                    reader, ended = zlib.decompressobj(wbits=31), False
                reader.decompress(data, _CHUNK)
                ended = reader.eof
                data = reader.unused_data if ended else reader.unconsumed_tail
    except zlib.error:
        return None
    return True if ended else (False if read >= _SURE else None)

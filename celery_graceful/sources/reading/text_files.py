"""Lines of text files and of JSON Lines files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from celery_graceful.sources.reading.compressed.formats import Compression
from celery_graceful.sources.reading.fingerprints import FileCursor, position
from celery_graceful.sources.reading.offsets import Lines, check_encoding, located
from celery_graceful.sources.reading.opening import Changed, Opened, opened
from celery_graceful.sources.reading.origins.choice import Readable


def lines(
    path: Readable,
    *,
    cursor: FileCursor | int | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    compression: Compression = "auto",
    changed: Changed = "error",
) -> Iterator[tuple[str, FileCursor]]:
    """The lines of a text file without their ends; the cursor has the byte offset behind the line.

    A line ends with ``\\n``, ``\\r\\n`` or ``\\r``; a UTF-8 BOM is left out. Lines appended while
    the run is away are found.

    Args:
        path: a path; a URL of fsspec (``s3://…``) or what ``fsspec.open()`` returns; a file of
            Django, such as the value of a ``FileField``; a pair of a store (a storage of Django, a
            store of obstore, a file system of fsspec) and the name in it; or a function without
            arguments that opens a seekable binary file.
        cursor: the last cursor that was yielded, ``[offset, fingerprint]``; ``None`` for the first
            line. A byte offset alone is not checked against the file.
        encoding: one in which each line can be read on its own, as UTF-8, Latin-1 and most are.
        errors: what to do about bytes that are wrong in it, as for :func:`open`.
        compression: ``"gzip"``, ``"zstd"``, ``None`` for none; ``"auto"``: as the file begins.
            Offsets are those in the decompressed content.
        changed: ``"ignore"`` to resume in a file that is not the one of the cursor.

    Raises:
        CursorError: the encoding cannot be resumed, or no line ends at the cursor.
        SourceError: at the first line, when the file changed or cannot be resumed; later, when its
            compressed data are truncated or corrupt.
        UnicodeDecodeError: naming the file and the offset of the last good line.
    """
    check_encoding("sources.lines", encoding)
    at = position("sources.lines", cursor)
    file = opened(path, at, compression=compression, changed=changed)
    return _lines(file, at.offset, encoding, errors)


def _lines(
    file: AbstractContextManager[Opened], offset: int, encoding: str, errors: str
) -> Iterator[tuple[str, FileCursor]]:
    with file as found:
        found.check_offset("sources.lines", offset)
        source, mark = Lines(found.file, encoding, errors), found.fingerprint
        try:
            for taken, line in enumerate(source.start(offset), 1):
                offset = source.ends[taken - source.first]
                yield line.rstrip("\r\n"), [offset, mark]
        except UnicodeDecodeError as exc:
            raise located(exc, found.name, offset) from exc


def jsonl(
    path: Readable,
    *,
    cursor: FileCursor | int | None = None,
    compression: Compression = "auto",
    changed: Changed = "error",
) -> Iterator[tuple[Any, FileCursor]]:
    """The values of a JSON Lines file; the cursor has the byte offset behind the line.

    Empty lines are left out, as is a BOM.

    Args:
        path: the file: see :func:`lines`, as for ``cursor``, ``compression`` and ``changed``.

    Raises:
        CursorError: no line ends at the cursor.
        SourceError: as for :func:`lines`.
        ValueError: for a line that is no JSON, naming the file and the offset.
    """
    at = position("sources.jsonl", cursor)
    return _jsonl(opened(path, at, compression=compression, changed=changed), at.offset)


def _jsonl(file: AbstractContextManager[Opened], offset: int) -> Iterator[tuple[Any, FileCursor]]:
    with file as found:
        found.check_offset("sources.jsonl", offset)
        found.file.seek(offset)
        mark = found.fingerprint
        for raw in found.file:
            start, offset = offset, offset + len(raw)
            if raw.isspace():
                continue
            try:
                value = json.loads(raw.decode("utf-8-sig" if start == 0 else "utf-8"))
            except ValueError as exc:
                where = f"{found.name}, line at byte {start}"
                raise ValueError(f"sources.jsonl: {where}, is not JSON: {exc}") from exc
            yield value, [offset, mark]

"""Lines of text files and of JSON Lines files, resumable at a byte offset."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from celery_graceful.sources.reading.offsets import (
    Lines,
    Path,
    check_encoding,
    check_offset,
    located,
)


def lines(
    path: Path, *, cursor: int | None = None, encoding: str = "utf-8", errors: str = "strict"
) -> Iterator[tuple[str, int]]:
    """The lines of a text file without their ends; the cursor is the byte offset behind the line.

    A line ends with ``\\n``, ``\\r\\n`` or ``\\r``; a UTF-8 BOM is left out.

    Args:
        encoding: one in which each line can be read on its own, as UTF-8, Latin-1 and most are.
        errors: what to do about bytes that are wrong in it, as for :func:`open`.

    Raises:
        CursorError: the encoding cannot be resumed, or the file is not the one that the cursor
            comes from.
        UnicodeDecodeError: naming the file and the offset of the last good line.
    """
    check_encoding("sources.lines", encoding)
    return _lines(path, check_offset("sources.lines", path, cursor), encoding, errors)


def _lines(path: Path, offset: int, encoding: str, errors: str) -> Iterator[tuple[str, int]]:
    with open(path, "rb") as file:
        source = Lines(file, encoding, errors)
        try:
            for taken, line in enumerate(source.start(offset), 1):
                offset = source.ends[taken - source.first]
                yield line.rstrip("\r\n"), offset
        except UnicodeDecodeError as exc:
            raise located(exc, path, offset) from exc


def jsonl(path: Path, *, cursor: int | None = None) -> Iterator[tuple[Any, int]]:
    """The values of a JSON Lines file; the cursor is the byte offset behind the line.

    Empty lines are left out, as is a BOM.

    Raises:
        CursorError: the file is not the one that the cursor comes from.
        ValueError: for a line that is no JSON, naming the file and the offset.
    """
    return _jsonl(path, check_offset("sources.jsonl", path, cursor))


def _jsonl(path: Path, offset: int) -> Iterator[tuple[Any, int]]:
    with open(path, "rb") as file:
        file.seek(offset)
        for raw in file:
            start, offset = offset, offset + len(raw)
            if raw.isspace():
                continue
            try:
                value = json.loads(raw.decode("utf-8-sig" if start == 0 else "utf-8"))
            except ValueError as exc:
                where = f"{os.fspath(path)}, line at byte {start}"
                raise ValueError(f"sources.jsonl: {where}, is not JSON: {exc}") from exc
            yield value, offset

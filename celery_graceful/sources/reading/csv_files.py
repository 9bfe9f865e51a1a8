"""Rows of CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, overload

from celery_graceful.sources.reading.compressed.formats import Compression
from celery_graceful.sources.reading.fingerprints import FileCursor, position
from celery_graceful.sources.reading.offsets import Lines, check_encoding, located
from celery_graceful.sources.reading.opening import Changed, Opened, opened
from celery_graceful.sources.reading.origins.choice import Readable

#: As the dict rows of the standard library: texts, but for ``restkey`` and ``restval``.
DictRow: TypeAlias = dict[str | Any, str | Any]


@overload
def csv_rows(
    path: Readable,
    *,
    cursor: FileCursor | int | None = None,
    lists: Literal[False] = False,
    header: bool = True,
    fieldnames: Sequence[str] | None = None,
    restkey: str | None = None,
    restval: str | None = None,
    encoding: str = "utf-8",
    compression: Compression = "auto",
    changed: Changed = "error",
    dialect: Any = "excel",
    **fmtparams: Any,
) -> Iterator[tuple[DictRow, FileCursor]]: ...


@overload
def csv_rows(
    path: Readable,
    *,
    cursor: FileCursor | int | None = None,
    lists: Literal[True],
    header: bool = True,
    encoding: str = "utf-8",
    compression: Compression = "auto",
    changed: Changed = "error",
    dialect: Any = "excel",
    **fmtparams: Any,
) -> Iterator[tuple[list[str], FileCursor]]: ...


def csv_rows(
    path: Readable,
    *,
    cursor: FileCursor | int | None = None,
    lists: bool = False,
    header: bool = True,
    fieldnames: Sequence[str] | None = None,
    restkey: str | None = None,
    restval: str | None = None,
    encoding: str = "utf-8",
    compression: Compression = "auto",
    changed: Changed = "error",
    dialect: Any = "excel",
    **fmtparams: Any,
) -> Iterator[tuple[Any, FileCursor]]:
    """The rows of a CSV file; the cursor has the byte offset behind the row.

    Resuming reads the header again and seeks, whatever the size of the file. Quoted fields over
    several lines, all three kinds of line ends and a UTF-8 BOM are understood; empty lines are
    left out. Rows appended behind the cursor while the run is away are found.

    Args:
        path: the file: see :func:`lines`, as for ``cursor``, ``compression`` and ``changed``.
        lists: yield lists of texts instead of dicts.
        header: whether the first row is a header; it is never yielded.
        fieldnames: the keys of the dicts, instead of the header's; needed without a header.
        restkey: as for :class:`csv.DictReader`: the key for the fields a row has too many.
        restval: likewise the value of the fields it has too few.
        encoding: one in which each line can be read on its own, as UTF-8, Latin-1 and most are.
        dialect: as for :func:`csv.reader`, as are all further arguments (``delimiter=";"``).

    Raises:
        CursorError: the encoding cannot be resumed, or no row ends at the cursor.
        SourceError: at the first row, when the file changed or cannot be resumed; later, when its
            compressed data are truncated or corrupt.
        csv.Error: the file is no CSV; :exc:`UnicodeDecodeError` when it is in another encoding.
            Both name the file and the place.
    """
    if not lists and not header and fieldnames is None:
        raise ValueError("sources.csv_rows: without a header, give fieldnames=[...] or lists=True")
    source = "sources.csv_rows"
    check_encoding(source, encoding)
    # Wrong dialect options raise here instead of at the first row.
    csv.reader((), dialect, **fmtparams)
    at = position(source, cursor)
    file = opened(path, at, compression=compression, changed=changed)
    table = _table(file, at.offset, encoding, header, {"dialect": dialect, **fmtparams})
    if lists:
        return _list_rows(table)
    return _dict_rows(table, fieldnames, restkey, restval)


def csv_count(
    path: Readable,
    *,
    header: bool = True,
    encoding: str = "utf-8",
    compression: Compression = "auto",
    dialect: Any = "excel",
    **fmtparams: Any,
) -> int:
    """How many rows :func:`csv_rows` yields with the same arguments; reads the whole file.

    Raises:
        csv.Error: the file is no CSV.
    """
    check_encoding("sources.csv_count", encoding)
    with opened(path, compression=compression) as found:
        text = Lines(found.file, encoding).start(0)
        rows = sum(map(bool, csv.reader(text, dialect, **fmtparams)))
    return max(0, rows - header)


class _Reader(Protocol):
    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...

    def __next__(self) -> list[str]: ...


class _Table(NamedTuple):
    """An open file: the names in its header, the rows to come, and where their lines end."""

    names: list[str]
    reader: _Reader
    lines: Lines
    fingerprint: str


@contextmanager
def _table(
    file: AbstractContextManager[Opened],
    offset: int,
    encoding: str,
    header: bool,
    options: dict[str, Any],
) -> Iterator[_Table]:
    with file as found:
        lines = Lines(found.file, encoding)
        reader: _Reader = csv.reader(lines.start(0), **options)
        try:
            names = next(filter(None, reader), []) if header else []
            after = lines.ends[reader.line_num - lines.first]
            if offset:
                found.check_offset("sources.csv_rows", offset)
                reader = csv.reader(lines.start(max(offset, after)), **options)
            yield _Table(names, reader, lines, found.fingerprint)
        except UnicodeDecodeError as exc:
            end = lines.ends[reader.line_num - lines.first]
            raise located(exc, found.name, end) from exc
        except csv.Error as exc:
            end = lines.ends[reader.line_num - lines.first]
            raise csv.Error(f"{exc}, in {found.name} before byte {end}") from exc


def _list_rows(table: AbstractContextManager[_Table]) -> Iterator[tuple[list[str], FileCursor]]:
    with table as (_, reader, lines, mark):
        for row in reader:
            if row:
                yield row, [lines.ends[reader.line_num - lines.first], mark]


def _dict_rows(
    table: AbstractContextManager[_Table],
    fieldnames: Sequence[str] | None,
    restkey: str | None,
    restval: str | None,
) -> Iterator[tuple[DictRow, FileCursor]]:
    with table as (header, reader, lines, mark):
        names = header if fieldnames is None else fieldnames
        width = len(names)
        for row in reader:
            if row:
                # Without strict=False, which costs half as much again.
                item: DictRow = dict(zip(names, row))  # noqa: B905
                if len(row) != width:
                    _even_out(item, names, row, restkey, restval)
                yield item, [lines.ends[reader.line_num - lines.first], mark]


def _even_out(
    item: DictRow, names: Sequence[str], row: list[str], restkey: str | None, restval: str | None
) -> None:
    """What :class:`csv.DictReader` does with a row that is too long or too short."""
    if len(row) > len(names):
        item[restkey] = row[len(names) :]
    else:
        item.update(dict.fromkeys(names[len(row) :], restval))

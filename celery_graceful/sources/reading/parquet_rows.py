"""Rows of Parquet files, by row group and row in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count, repeat
from typing import Any, NamedTuple

from celery_graceful.errors import CursorError, SourceError
from celery_graceful.sources.basic import whole_cursor
from celery_graceful.sources.reading.fingerprints import Position, is_fingerprint
from celery_graceful.sources.reading.opening import Changed, opened
from celery_graceful.sources.reading.origins.choice import Readable

#: Rows that are read at once when they are yielded one by one.
_ROWS = 1000
_BUFFER = 1 << 20


def parquet(
    path: Readable,
    *,
    cursor: Sequence[Any] | None = None,
    columns: Sequence[str] | None = None,
    batch: int | None = None,
    changed: Changed = "error",
) -> Iterator[tuple[Any, list[Any]]]:
    """The rows of a Parquet file; the cursor is ``[row group, row in it, fingerprint]``.

    Row groups that are done are not read again; of the one of the cursor, the rows before it are
    decoded and left out. Needs ``pip install 'celery-graceful[parquet]'``.

    Args:
        path: the file: see :func:`lines`.
        cursor: the last cursor that was yielded; ``None`` for the first row.
        columns: the columns to read, ``"a.b"`` for a field of a nested one; ``None``: all.
        batch: yield :class:`pyarrow.RecordBatch` of at most so many rows, instead of rows as dicts.
            The cursor is that of the last row, so that the number may be changed in between.
        changed: ``"ignore"`` to resume in a file that is not the one of the cursor.

    Raises:
        CursorError: the cursor is no place in the file.
        SourceError: at the first row, when there is no such column, or the file changed or is no
            Parquet file; later, when its data are corrupt.
    """
    if batch is not None and batch < 1:
        raise ValueError(f"sources.parquet: batch must be 1 or more, not {batch}")
    if columns is not None and not columns:
        raise ValueError("sources.parquet: columns is empty; leave it out to read all")
    return _read(path, _place(cursor), columns, batch, changed)


def parquet_count(path: Readable) -> int:
    """How many rows :func:`parquet` yields; reads the end of the file only.

    Raises:
        SourceError: it is no Parquet file.
    """
    with _file(path, Position(0, None), "ignore") as (file, _, _):
        return int(file.metadata.num_rows)


class _Place(NamedTuple):
    group: int
    #: Rows in it that are done.
    done: int
    fingerprint: str | None


def _place(cursor: object) -> _Place:
    if cursor is None:
        return _Place(0, 0, None)
    if (
        not isinstance(cursor, (list, tuple))
        or len(cursor) not in (2, 3)
        or None in cursor
        or (len(cursor) == 3 and not is_fingerprint(cursor[2]))
    ):
        raise CursorError(
            "sources.parquet: the cursor must be [row group, row, fingerprint] or None, not"
            f" {cursor!r}; pass on the cursor that the source yielded"
        )
    group, row = (whole_cursor("sources.parquet", number) or 0 for number in cursor[:2])
    return _Place(group, row + 1, cursor[2] if len(cursor) == 3 else None)


@contextmanager
def _file(path: Readable, position: Position, changed: Changed) -> Iterator[tuple[Any, str, str]]:
    """The open file, its name and its fingerprint."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as exc:
        raise SourceError(
            "sources.parquet needs a package: pip install 'celery-graceful[parquet]'"
        ) from exc
    with opened(path, position, compression=None, changed=changed) as found:
        where = ""
        try:
            # Not pre_buffer, and with a buffer: column chunks are not read as a whole.
            with pyarrow.parquet.ParquetFile(
                found.file, pre_buffer=False, buffer_size=_BUFFER
            ) as file:
                where = "after its metadata"
                yield file, found.name, found.fingerprint
        except (pyarrow.ArrowException, OSError) as exc:
            if isinstance(exc, OSError) and (type(exc) is not OSError or exc.errno is not None):
                raise  # of the connection or the disk: the data may be right
            what = f"has corrupt data {where}" if where else "is no Parquet file"
            raise SourceError(f"{found.name} {what} ({exc}); restore the file and retry") from exc


def _read(
    path: Readable,
    place: _Place,
    columns: Sequence[str] | None,
    batch: int | None,
    changed: Changed,
) -> Iterator[tuple[Any, list[Any]]]:
    with _file(path, Position(0, place.fingerprint), changed) as (file, name, mark):
        _check_place(file, name, place)
        _check_columns(file, name, columns)
        for group in range(place.group, file.num_row_groups):
            done = place.done if group == place.group else 0
            for table in _tables(file, name, group, done, batch or _ROWS, columns):
                end = done + len(table)
                if batch is None:
                    rows = count(done)
                    cursors = map(list, zip(repeat(group), rows, repeat(mark)))
                    yield from zip(table.to_pylist(), cursors)  # noqa: B905 - endless
                else:
                    yield table, [group, end - 1, mark]
                done = end


def _tables(
    file: Any, name: str, group: int, done: int, size: int, columns: Sequence[str] | None
) -> Iterator[Any]:
    """Batches of the rows of a row group behind the first ``done`` ones."""
    start = 0
    asked = None if columns is None else list(columns)
    batches = file.iter_batches(size, row_groups=[group], columns=asked, use_threads=False)
    for table in batches:
        left_out = max(0, done - start)
        start += len(table)
        if left_out < len(table):
            yield table.slice(left_out)


def _check_place(file: Any, name: str, place: _Place) -> None:
    if place == (0, 0, None):
        return
    groups = file.num_row_groups
    rows = file.metadata.row_group(place.group).num_rows if place.group < groups else 0
    if place.done > rows:
        raise CursorError(
            f"sources.parquet: there is no row {place.done - 1} in row group {place.group} of"
            f" {name}; the file is not the one that the run began with"
        )


def _check_columns(file: Any, name: str, columns: Sequence[str] | None) -> None:
    """Refuse unknown columns, which pyarrow leaves out without a word."""
    paths = [file.schema.column(index).path for index in range(len(file.schema))]
    for column in columns or ():
        if not any(path == column or path.startswith(column + ".") for path in paths):
            names = ", ".join(file.schema_arrow.names)
            raise SourceError(f"{name} has no column {column!r}; it has {names}")

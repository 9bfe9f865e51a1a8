from __future__ import annotations

import io
import random
import sys
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_graceful.errors import CursorError, SourceError
from celery_graceful.sources import parquet, parquet_count

ROW = st.fixed_dictionaries(
    {
        "n": st.integers(-5, 5) | st.none(),
        "tags": st.lists(st.text(max_size=2), max_size=2) | st.none(),
        "at": st.fixed_dictionaries({"x": st.none() | st.floats(allow_nan=False)}),
    }
)
SCHEMA = pa.schema(
    {"n": pa.int64(), "tags": pa.list_(pa.string()), "at": pa.struct({"x": pa.float64()})}
)


def packed(groups: list[list[dict[str, Any]]], schema: Any = SCHEMA) -> bytes:
    out = io.BytesIO()
    with pq.ParquetWriter(out, schema) as writer:
        for rows in groups:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return out.getvalue()


def numbered(groups: int, rows: int) -> bytes:
    return packed(
        [[{"n": g * rows + r, "text": str(r)} for r in range(rows)] for g in range(groups)],
        pa.schema({"n": pa.int64(), "text": pa.string()}),
    )


@settings(max_examples=30)
@given(st.lists(st.lists(ROW, max_size=5), max_size=4), st.integers(1, 7))
def test_every_cut(groups: list[list[dict[str, Any]]], batch: int) -> None:
    data = packed(groups)

    def file() -> io.BytesIO:
        return io.BytesIO(data)

    expected = [row for rows in groups for row in rows]
    pairs = list(parquet(file))
    assert [row for row, _ in pairs] == expected
    assert parquet_count(file) == len(expected)
    for done, (_, cursor) in enumerate(pairs, 1):
        assert list(parquet(file, cursor=cursor)) == pairs[done:]
        tables = list(parquet(file, cursor=cursor, batch=batch))
        assert [row for table, _ in tables for row in table.to_pylist()] == expected[done:]
        assert all(0 < len(table) <= batch for table, _ in tables)
    done = 0
    for table, cursor in parquet(file, batch=batch):
        done += len(table)
        assert list(parquet(file, cursor=cursor)) == pairs[done:]


def test_a_large_file_interrupted_at_random(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(numbered(4, 6000))
    chance, seen, cursor = random.Random(3), [], None
    while True:
        source, left = parquet(path, cursor=cursor, columns=["n"]), chance.randrange(1, 4000)
        for row, cursor in source:  # noqa: B007 - for the next execution
            seen.append(row["n"])
            left -= 1
            if not left:
                break
        else:
            break
    assert seen == list(range(24_000))


def test_types_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    row = {
        "money": Decimal("1.50"),
        "at": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone.utc),
        "place": {"city": "Köln", "zip": "50667"},
    }
    pq.write_table(pa.Table.from_pylist([row]), path)
    assert [found for found, _ in parquet(path)] == [row]
    assert [found for found, _ in parquet(path, columns=["place.city"])] == [
        {"place": {"city": "Köln"}}
    ]
    for column in ("pla", "place.street"):
        with pytest.raises(SourceError, match=f"no column '{column}'; it has money, at, place"):
            next(parquet(path, columns=["money", column]))


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 or more, not 0"):
        parquet(tmp_path, batch=0)
    with pytest.raises(ValueError, match="columns is empty"):
        parquet(tmp_path, columns=[])
    for cursor in (3, "x", [1], [1, 2, 3], [1, 2, "x"], [None, 1], [1, 2, "5-a", 4], [-1, 0]):
        with pytest.raises(CursorError, match=r"sources\.parquet"):
            parquet(tmp_path, cursor=cursor)  # type: ignore[arg-type]


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.parquet"
    data = numbered(2, 100)
    with pytest.raises(FileNotFoundError):
        next(parquet(path))
    for wrong in (b"", b"a,b\n1,2\n", data[:-30]):
        path.write_bytes(wrong)
        with pytest.raises(SourceError, match=r"rows\.parquet is no Parquet file"):
            next(parquet(path))
    path.write_bytes(data)
    for cursor in ([2, 0], [0, 100], [9, 9]):
        with pytest.raises(CursorError, match="there is no row"):
            next(parquet(path, cursor=cursor))
    _, cursor = next(parquet(path))
    path.write_bytes(numbered(2, 101))
    with pytest.raises(SourceError, match="changed since"):
        next(parquet(path, cursor=cursor))
    assert next(parquet(path, cursor=cursor, changed="ignore"))[0]["n"] == 1
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SourceError, match=r"pip install 'celery-graceful\[parquet\]'"):
        next(parquet(path))


def test_corrupt_data(tmp_path: Path) -> None:
    data = bytearray(numbered(2, 20_000))
    at = len(data) // 2
    data[at : at + 2000] = b"\xff" * 2000
    path = tmp_path / "rows.parquet"
    path.write_bytes(data)
    with pytest.raises(SourceError, match="corrupt"):
        list(parquet(path))

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_graceful.errors import CursorError, SourceError
from celery_graceful.sources import csv_rows, jsonl, lines

ROWS = [b"n\n", *(b"%d\n" % n for n in range(40_000))]
DATA = b"".join(ROWS)  # more than is digested whole


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_bytes(DATA)
    return path


@pytest.fixture(params=[lines, jsonl, csv_rows])
def at_1000(request: pytest.FixtureRequest, path: Path) -> tuple[Any, Any]:
    """A source and its cursor behind the number 1000."""
    path.write_bytes(b"0\n" + DATA[2:])  # JSON too
    source = request.param
    for item, cursor in source(path):
        if item in ("1000", 1000, {"0": "1000"}):
            return source, cursor
    raise AssertionError


def test_what_may_happen_meanwhile(path: Path, at_1000: tuple[Any, Any], tmp_path: Path) -> None:
    source, cursor = at_1000
    expected = [item for item, _ in source(path, cursor=cursor)]
    os.utime(path, (1, 1))
    assert [item for item, _ in source(path, cursor=cursor)] == expected
    assert [item for item, _ in source(path, cursor=tuple(cursor))] == expected
    shutil.copyfile(path, tmp_path / "copy")
    assert [item for item, _ in source(tmp_path / "copy", cursor=cursor)] == expected
    with open(path, "ab") as file:
        file.write(b"40000\n")
    assert len(list(source(path, cursor=cursor))) == len(expected) + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-2], r"it had \d+ bytes and now has \d+"),
        (lambda data: b"9" + data[1:], "are not what they were"),
        (lambda data: data.replace(b"\n5\n", b"\n5\n55\n"), "are not what they were"),
        (lambda data: data[2:] + b"99999\n", "are not what they were"),
        (lambda data: b"", "now has 0"),
        (lambda data: data[:-3] + b"8\n\n", "are not what they were"),
    ],
)
def test_a_changed_file_is_an_error(
    path: Path, at_1000: tuple[Any, Any], change: Any, message: str
) -> None:
    source, cursor = at_1000
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(SourceError, match=rf"rows\.csv changed since .*{message}"):
        next(source(path, cursor=cursor))


def test_the_check_can_be_turned_off(path: Path, at_1000: tuple[Any, Any]) -> None:
    source, cursor = at_1000
    path.write_bytes(b"1" + path.read_bytes()[1:])
    assert next(source(path, cursor=cursor, changed="ignore"))[0] in ("1001", 1001, {"1": "1001"})
    assert next(source(path, cursor=cursor[0]))[0] in ("1001", 1001, {"1": "1001"})
    with pytest.raises(ValueError, match="changed='no'"):
        next(source(path, changed="no"))


@pytest.mark.parametrize(
    "cursor", [[], [4], [4, 5], [4, ""], [4, "x"], ["4", "5-a"], [None, "5-a"], [4, "5-a", 6], {}]
)
def test_foreign_cursors(path: Path, cursor: Any) -> None:
    for source in (lines, jsonl, csv_rows):
        with pytest.raises(CursorError, match="must be"):
            source(path, cursor=cursor)


def joined(rows: list[bytes]) -> bytes:
    return b"".join(rows)


def member_each(rows: list[bytes]) -> bytes:
    return b"".join(gzip.compress(row, mtime=0) for row in rows)


@pytest.mark.parametrize("packed", [joined, member_each])
@settings(max_examples=40)
@given(st.data())
def test_edits_between_executions(
    tmp_path_factory: pytest.TempPathFactory,
    packed: Callable[[list[bytes]], bytes],
    data: st.DataObject,
) -> None:
    """Any edit is either refused, or what is read continues what was read."""
    path = tmp_path_factory.getbasetemp() / "edited"
    rows = data.draw(st.lists(st.sampled_from([b"a\n", b"bb\n", b"\n", b"ccc\r\n"]), max_size=8))
    path.write_bytes(packed(rows))
    pairs = list(lines(path))
    if not pairs:
        return
    done = data.draw(st.integers(1, len(pairs)))
    edited = list(rows)
    edit = data.draw(st.sampled_from(["append", "insert", "drop", "replace", "truncate"]))
    where = data.draw(st.integers(0, len(rows) - 1))
    if edit == "append":
        edited.append(b"new\n")
    elif edit == "insert":
        edited.insert(where, b"new\n")
    elif edit == "drop":
        del edited[where]
    elif edit == "truncate":
        del edited[where:]
    else:
        edited[where] = b"x\n"
    path.write_bytes(packed(edited))
    grown = packed(edited).startswith(packed(rows))
    try:
        rest = [line for line, _ in lines(path, cursor=pairs[done - 1][1])]
    except SourceError:
        assert not grown
    else:
        assert grown
        whole = [line for line, _ in lines(path)]
        assert [line for line, _ in pairs[:done]] + rest == whole

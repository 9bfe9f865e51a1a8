from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.errors import CursorError
from celery_graceful.sources import csv_count, csv_rows
from celery_graceful.sources.reading import offsets

# All that a CSV reader has to look at, and characters that str.splitlines() would split at.
CELLS = st.text(alphabet='a,"\n\r\\;\x0b\x1c\x85\u2028é漢😀\ufeff ', max_size=6)
TABLES = st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=8)
RAW = st.text(alphabet='ab,"\n\r', max_size=40)


def written(rows: Iterable[list[str]], end: str, **fmtparams: Any) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=end, **fmtparams).writerows(rows)
    return out.getvalue()


def check_all_cuts(data: bytes, expected: list[Any], **options: Any) -> None:
    """However the run is cut in two, both parts together are all rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        path.write_bytes(data)
        pairs = list(csv_rows(path, **options))
        assert [row for row, _ in pairs] == expected
        for done, (_, cursor) in enumerate(pairs, 1):
            assert list(csv_rows(path, cursor=cursor, **options)) == pairs[done:]
        offsets_seen = [offset for _, (offset, _) in pairs]
        assert offsets_seen == sorted(set(offsets_seen))
        assert all(cursor <= len(data) for cursor in offsets_seen)
        count = {k: v for k, v in options.items() if k not in ("lists", "fieldnames")}
        assert csv_count(path, **count) == len(pairs)


@given(
    TABLES, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.sampled_from([1, 7, 1 << 17])
)
def test_written_tables(rows: list[list[str]], end: str, bom: bool, chunk: int) -> None:
    text = written(rows, end)
    data = (b"\xef\xbb\xbf" if bom else b"") + text.encode()
    # A first character that looks like a BOM is taken for one.
    expected = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    expected = [row for row in expected if row]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(offsets, "_CHUNK", chunk)
        check_all_cuts(data, expected, lists=True, header=False)
        check_all_cuts(data, expected[1:], lists=True)


@given(RAW, st.sampled_from([1, 5, 1 << 17]))
def test_any_text(text: str, chunk: int) -> None:
    """Broken CSV too: the rows are those of the standard library."""
    expected = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(offsets, "_CHUNK", chunk)
        check_all_cuts(text.encode(), expected, lists=True, header=False)


@given(TABLES)
def test_dicts_are_those_of_the_standard_library(rows: list[list[str]]) -> None:
    text = written([["b", "a"], *rows], "\r\n")
    expected = list(csv.DictReader(io.StringIO(text, newline="")))
    check_all_cuts(text.encode(), expected)


@pytest.mark.parametrize(
    "encoding", ["latin-1", "cp1252", "shift_jis", "gb18030", "euc_kr", "utf8"]
)
def test_encodings(encoding: str) -> None:
    word = {"latin-1": "é", "cp1252": "€", "utf8": "😀"}.get(
        encoding, "ソ表" if "j" in encoding else "가"
    )
    if encoding == "gb18030":
        word = "漢\u0101"
    rows = [["a", "b"], [word, f'{word}\n"{word}"'], ["1", word]]
    check_all_cuts(written(rows, "\r\n").encode(encoding), rows[1:], lists=True, encoding=encoding)


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-32", "utf-7", "iso2022_jp", "hz", "cp037"]
)
def test_encodings_that_cannot_be_resumed(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(CursorError, match=rf"{encoding}.*iconv -f {encoding} -t utf-8"):
        csv_rows(tmp_path / "no.csv", encoding=encoding)
    with pytest.raises(CursorError, match="iconv"):
        csv_count(tmp_path / "no.csv", encoding=encoding)


def test_an_unknown_encoding(tmp_path: Path) -> None:
    with pytest.raises(LookupError):
        csv_rows(tmp_path / "no.csv", encoding="utf-9")


def test_dialect_options() -> None:
    check_all_cuts(b"a;b\n'x;\n';2\n", [{"a": "x;\n", "b": "2"}], delimiter=";", quotechar="'")
    check_all_cuts(b"a\tb\n1\t2\n", [{"a": "1", "b": "2"}], dialect="excel-tab")
    escaped = b"a,b\nx\\\ny,2\n3,4\n"
    check_all_cuts(
        escaped,
        [["x\ny", "2"], ["3", "4"]],
        lists=True,
        quoting=csv.QUOTE_NONE,
        escapechar="\\",
    )


def test_wrong_options_raise_at_once(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        csv_rows(tmp_path / "no.csv", delimiter=";;")
    with pytest.raises(ValueError, match="fieldnames"):
        csv_rows(tmp_path / "no.csv", header=False)


def test_names_and_uneven_rows(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1\n1,2,3,4\n")
    rows = [row for row, _ in csv_rows(path, restkey="more", restval="-")]
    assert rows == [{"a": "1", "b": "-"}, {"a": "1", "b": "2", "more": ["3", "4"]}]
    assert next(row for row, _ in csv_rows(path, fieldnames=["x"])) == {"x": "1"}
    named = [row for row, _ in csv_rows(path, header=False, fieldnames=["x", "y"])]
    assert named[0] == {"x": "a", "y": "b"}
    assert len(named) == 3


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf", b"a,b", b"\r\na,b\r\n\r\n"])
def test_no_rows(data: bytes) -> None:
    check_all_cuts(data, [])


def test_a_quoted_header_behind_a_bom() -> None:
    check_all_cuts(b'\xef\xbb\xbf"a\nb",c\n1,2\n', [{"a\nb": "1", "c": "2"}])


def test_cursor_zero_is_the_start(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a\n1\n2\n")
    assert list(csv_rows(path, cursor=0)) == list(csv_rows(path))


@pytest.mark.parametrize(
    ("cursor", "message"),
    [
        (7, r"cursor 7 is beyond the end of .*table\.csv \(6 bytes\)"),
        (-1, "must be 0 or more"),
        ("2", "whole number or None, not '2'"),
        (True, "whole number or None, not True"),
        (2.0, "whole number"),
        (3, "in the middle of a line of .*table.csv"),
    ],
)
def test_cursors_that_do_not_fit(tmp_path: Path, cursor: Any, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"a\n11\n2")
    with pytest.raises(CursorError, match=message):
        next(csv_rows(path, cursor=cursor))


def test_rows_appended_meanwhile_are_found(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"a\n1\n2")
    cursor = list(csv_rows(path))[-1][1]
    path.write_bytes(b"a\n1\n2\n3\n")
    assert [row for row, _ in csv_rows(path, cursor=cursor)] == [{"a": "3"}]


def test_errors_name_the_file_and_the_place(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"a,b\n1,2\n3,\xff\n")
    rows = csv_rows(path)
    next(rows)
    with pytest.raises(UnicodeDecodeError, match=r"table\.csv after byte 8"):
        next(rows)
    path.write_bytes(b'a,b\n"1"x,2\n')
    with pytest.raises(csv.Error, match=r"table\.csv before byte 11"):
        next(csv_rows(path, strict=True))


def test_the_file_is_closed(tmp_path: Path) -> None:
    """A file left open would be a ResourceWarning, and so an error."""
    path = tmp_path / "table.csv"
    path.write_text("a\n1\n2\n")
    rows = csv_rows(path)
    next(rows)
    del rows


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        next(csv_rows(tmp_path / "no.csv"))
    with pytest.raises(FileNotFoundError):
        next(csv_rows(tmp_path / "no.csv", cursor=5))

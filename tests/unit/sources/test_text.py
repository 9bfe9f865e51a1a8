from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.errors import CursorError
from celery_graceful.sources import jsonl, lines
from celery_graceful.sources.reading import offsets

TEXTS = st.text(alphabet="ab\n\r\x0b\x1c\x85\u2028é漢😀", max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(TEXTS, st.booleans(), st.sampled_from([1, 5, 1 << 17]))
def test_lines_at_any_cut(text: str, bom: bool, chunk: int) -> None:
    data = (b"\xef\xbb\xbf" if bom else b"") + text.encode()
    expected = [line.rstrip("\n") for line in io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8")]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(offsets, "_CHUNK", chunk)
        path = Path(folder, "text")
        path.write_bytes(data)
        pairs = list(lines(path))
        assert [line for line, _ in pairs] == expected
        for done, (_, cursor) in enumerate(pairs, 1):
            assert list(lines(path, cursor=cursor)) == pairs[done:]


@given(st.lists(VALUES), st.sampled_from(["\n", "\r\n", "\n\n"]), st.booleans(), st.booleans())
def test_jsonl_at_any_cut(values: list[Any], end: str, escaped: bool, bom: bool) -> None:
    text = end.join(json.dumps(value, ensure_ascii=escaped) for value in values)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "values.jsonl")
        path.write_bytes((b"\xef\xbb\xbf" if bom and values else b"") + text.encode())
        pairs = list(jsonl(path))
        assert [value for value, _ in pairs] == values
        for done, (_, cursor) in enumerate(pairs, 1):
            assert list(jsonl(path, cursor=cursor)) == pairs[done:]


def test_encoding_and_errors(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"ok\nd\xe9j\xe0\n")
    assert [line for line, _ in lines(path, encoding="latin-1")] == ["ok", "déjà"]
    assert [line for line, _ in lines(path, errors="replace")] == ["ok", "d�j�"]
    with pytest.raises(UnicodeDecodeError, match=r"text after byte 3"):
        list(lines(path))
    with pytest.raises(CursorError, match="iconv"):
        lines(path, encoding="utf-16")


def test_wrong_json_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "values.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": \n')
    values = jsonl(path)
    value, (offset, _) = next(values)
    assert (value, offset) == ({"a": 1}, 9)
    with pytest.raises(ValueError, match=r"values\.jsonl, line at byte 9, is not JSON"):
        next(values)
    path.write_bytes(b'"\xff"\n')
    with pytest.raises(ValueError, match="line at byte 0, is not JSON"):
        next(jsonl(path))


@pytest.mark.parametrize("source", [lines, jsonl])
def test_cursors_that_do_not_fit(tmp_path: Path, source: Any) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"11\n22\n")
    for cursor, message in (
        (7, "beyond the end of .*text"),
        (4, "middle of a line"),
        ("x", "whole"),
    ):
        with pytest.raises(CursorError, match=message):
            next(source(path, cursor=cursor))
    assert list(source(path, cursor=6)) == []

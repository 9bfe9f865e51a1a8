from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.errors import CursorError
from celery_graceful.sources import files

# Names around "/" in the order of characters: "a-b" < "a/b" < "a0" as texts, but not as paths.
NAMES = st.sampled_from(["a", "a-b", "a.py", "a0", "B", "é"])
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=3).map("/".join), max_size=8)


def make(root: str | Path, paths: list[str]) -> list[str]:
    """Create what does not clash, and return the files in the order of their parts."""
    made = set()
    for name in paths:
        path = Path(root, name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            continue
        if path.is_file():
            made.add(name)
    return sorted(made, key=lambda name: name.split("/"))


@given(PATHS)
def test_files_at_any_cut(paths: list[str]) -> None:
    with tempfile.TemporaryDirectory() as root:
        expected = make(root, paths)
        pairs = list(files(root))
        assert [cursor for _, cursor in pairs] == expected
        assert [path for path, _ in pairs] == [Path(root, name) for name in expected]
        for done, (_, cursor) in enumerate(pairs, 1):
            assert list(files(root, cursor=cursor)) == pairs[done:]


@given(PATHS, st.lists(NAMES, min_size=1, max_size=3).map("/".join))
def test_any_cursor_even_of_a_file_that_is_gone(paths: list[str], cursor: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        expected = make(root, paths)
        behind = [name for name in expected if name.split("/") > cursor.split("/")]
        assert [name for _, name in files(root, cursor=cursor)] == behind


def test_pattern(tmp_path: Path) -> None:
    make(tmp_path, ["a.py", "b.txt", "c/d.py", "c/e.PY", "py/f"])
    assert [name for _, name in files(tmp_path, "*.py")] == ["a.py", "c/d.py"]
    assert [name for _, name in files(tmp_path, "*.py", cursor="a.py")] == ["c/d.py"]
    with pytest.raises(ValueError, match="for names, not paths"):
        files(tmp_path, "c/*.py")


def test_done_folders_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, ["a/x", "b/x", "b/y/z", "c/x"])
    opened: list[str] = []
    scandir = os.scandir

    def watched(path: Any) -> Any:
        opened.append(os.path.relpath(path, tmp_path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watched)
    assert [name for _, name in files(tmp_path, cursor="b/x")] == ["b/y/z", "c/x"]
    assert opened == [".", "b", "b/y", "c"]


def test_links(tmp_path: Path) -> None:
    make(tmp_path, ["a/x"])
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "file").symlink_to(tmp_path / "a" / "x")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    assert [name for _, name in files(tmp_path)] == ["a/x", "file"]


def test_a_folder_removed_meanwhile(tmp_path: Path) -> None:
    make(tmp_path, ["a/x", "b/x", "c"])
    found = files(tmp_path)
    assert next(found)[1] == "a/x"
    (tmp_path / "b" / "x").unlink()
    (tmp_path / "b").rmdir()
    assert [name for _, name in found] == ["c"]


def test_no_root(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        next(files(tmp_path / "no"))


@pytest.mark.parametrize("cursor", ["", "/a", 5, True])
def test_cursors_that_do_not_fit(tmp_path: Path, cursor: Any) -> None:
    with pytest.raises(CursorError, match="path relative to the root"):
        files(tmp_path, cursor=cursor)

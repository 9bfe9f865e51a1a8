"""The files under a folder, resumable at a path."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

from celery_graceful.errors import CursorError


def files(
    root: str | os.PathLike[str], pattern: str = "*", *, cursor: str | None = None
) -> Iterator[tuple[Path, str]]:
    """The files under ``root`` and its folders; the cursor is the path from ``root``, with ``/``.

    Folder by folder in the order of their names, upper case before lower. Resuming opens only the
    folders that are not done. Files that appear before the cursor meanwhile are not seen; the file
    of the cursor may be gone. Links to folders are not followed.

    Args:
        root: the folder; must exist.
        pattern: which names, as in a shell: ``*.py``, ``[0-9]*.csv``; case matters.
        cursor: the last cursor that was yielded; ``None`` for the first file.

    Raises:
        CursorError: the cursor is no relative path.
        OSError: ``root`` or a folder in it cannot be read.
    """
    if "/" in pattern:
        raise ValueError(
            f"sources.files: the pattern {pattern!r} is for names, not paths;"
            " pass the folder as root, or filter the paths in the task"
        )
    matches = re.compile(fnmatch.translate(pattern)).match
    return (
        (Path(root, relative), relative)
        for relative in _walk(os.fspath(root), _parts(cursor))
        if matches(relative.rpartition("/")[2])
    )


def _parts(cursor: object) -> list[str]:
    if cursor is None:
        return []
    if not isinstance(cursor, str) or not cursor or cursor.startswith("/"):
        raise CursorError(
            f"sources.files: the cursor must be a path relative to the root, or None,"
            f" not {cursor!r}; pass on the cursor that the source yielded"
        )
    return cursor.split("/")


def _walk(root: str, done: list[str]) -> Iterator[str]:
    """Relative paths of all files behind the one whose path has the parts ``done``."""
    # Every open folder: its relative path, the cursor's parts below it, the entries left in it.
    stack = [("", done, _entries(root, done))]
    while stack:
        prefix, done, entries = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            continue
        relative = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            rest = done[1:] if entry.name in done[:1] else []
            try:
                stack.append((relative + "/", rest, _entries(entry.path, rest)))
            except FileNotFoundError:
                # Removed since its parent was read: there are no files in it.
                continue
        elif entry.is_file():
            yield relative


def _entries(folder: str, done: list[str]) -> Iterator[os.DirEntry[str]]:
    """What is in ``folder``, by name, without what ends before the path ``done`` below it."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=attrgetter("name"))
    if not done:
        return iter(entries)
    at = done[0]
    return (
        entry
        for entry in entries
        if entry.name > at or (entry.name == at and entry.is_dir(follow_symlinks=False))
    )

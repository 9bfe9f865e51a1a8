"""The work of the demo, the notes that it leaves, and the same work by a plain loop.

It counts lines, and makes a digest that depends on every file and their order.
"""

from __future__ import annotations

import hashlib
import json
import os
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


def standard_library() -> str:
    """The folder of the running Python's standard library."""
    return sysconfig.get_path("stdlib")


def is_installed(name: str) -> bool:
    """Whether a path below the standard library's folder belongs to an installed package."""
    return name.startswith(("site-packages/", "dist-packages/"))


def add(so_far: Mapping[str, Any], content: bytes) -> dict[str, Any]:
    """The sums after one more file."""
    digest = hashlib.sha256(content).hexdigest()
    chained = hashlib.sha256((so_far.get("digest", "") + digest).encode())
    return {
        "files": so_far.get("files", 0) + 1,
        "lines": so_far.get("lines", 0) + content.count(b"\n"),
        "digest": chained.hexdigest(),
    }


class Done(NamedTuple):
    """A processed file, the process that did it, and when (monotonic seconds)."""

    name: str
    pid: int
    at: float


def note(path: str, name: str) -> None:
    """Append a line to the notes, in one write: lines never mix, and no kill can tear one."""
    line = json.dumps([name, os.getpid(), time.monotonic()]) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


class Notes:
    """Reads the notes as they grow."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.entries: list[Done] = []
        self.names: set[str] = set()
        self._offset = 0

    def read(self) -> None:
        """Read the lines that were added since the last time."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            entry = Done(*json.loads(line))
            self.entries.append(entry)
            self.names.add(entry.name)


class Expected(NamedTuple):
    """What a plain loop finds: the files in their order, and the sums."""

    names: list[str]
    sums: dict[str, Any]


def by_plain_loop(root: str) -> Expected:
    """Walk ``root`` without Celery and without the package's sources, to compare with."""
    names = []
    for folder, _, found in os.walk(root):
        inside = Path(folder).relative_to(root)
        names += [(inside / name).as_posix() for name in found if name.endswith(".py")]
    names = sorted((n for n in names if not is_installed(n)), key=lambda name: name.split("/"))
    files = lines = 0
    chain = ""
    for name in names:
        content = Path(root, name).read_bytes()
        files += 1
        lines += content.count(b"\n")
        digest = hashlib.sha256(content).hexdigest()
        chain = hashlib.sha256((chain + digest).encode()).hexdigest()
    return Expected(names, {"files": files, "lines": lines, "digest": chain})

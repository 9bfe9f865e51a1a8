"""The ledger: one line for each file that was processed, written so that no kill can tear it."""

from __future__ import annotations

import json
import os
import time
from typing import NamedTuple


class Entry(NamedTuple):
    """A processed file, the process that did it, and when (monotonic seconds)."""

    name: str
    pid: int
    at: float


def note(path: str, name: str) -> None:
    """Append a line in one write to a file opened for appending: lines never mix."""
    line = json.dumps([name, os.getpid(), time.monotonic()]) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


class Reader:
    """Follows a ledger as it grows."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.entries: list[Entry] = []
        self.names: set[str] = set()
        self._offset = 0

    def read(self) -> None:
        """Take in the lines that were added since the last time."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            entry = Entry(*json.loads(line))
            self.entries.append(entry)
            self.names.add(entry.name)

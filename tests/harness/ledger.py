"""The ledger: what tasks in worker processes did, written so that no crash can lose or tear it."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tests.harness.line_files import whole_lines


class Entry(NamedTuple):
    """One item that was done: the item, the process that did it, its monotonic time in seconds."""

    item: Any
    pid: int
    at: float


class Ledger:
    """A file with one line for each item, appended by any process and read by the test.

    Items are what JSON knows, and hashable for ``counts``: numbers, strings, ``None``.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def add(self, item: Any) -> None:
        """Append ``item``. One write to a file opened for appending: lines never mix."""
        line = json.dumps([item, os.getpid(), time.monotonic()]) + "\n"
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)

    def entries(self) -> list[Entry]:
        """All entries in the order they were written; none when nothing was written yet."""
        return [Entry(*json.loads(line)) for line in whole_lines(self.path)]

    def items(self) -> list[Any]:
        """The items in the order they were done."""
        return [entry.item for entry in self.entries()]

    def counts(self) -> Counter[Any]:
        """How often each item was done."""
        return Counter(self.items())

    def times(self) -> list[float]:
        """When each item was done, in seconds of the machine's monotonic clock."""
        return [entry.at for entry in self.entries()]

    def __len__(self) -> int:
        return len(self.entries())

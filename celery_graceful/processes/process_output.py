"""Where a background process's output goes, and its last part for people."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from celery_graceful.processes.current_task import task_now
from celery_graceful.processes.guardian.guardian import TAIL
from celery_graceful.processes.start_options import Search

#: Longer lines are logged in pieces of so many bytes.
_LONGEST_LINE = 8 * 1024


class Lines:
    """Assembles lines from pieces of output."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) > _LONGEST_LINE:
            lines.append(self._rest[:_LONGEST_LINE])
            self._rest = self._rest[_LONGEST_LINE:]
        for line in lines:
            self._on_line(text_of(line).rstrip("\r"))

    def close(self) -> None:
        """No more will come."""
        if self._rest:
            self._on_line(text_of(self._rest))
            self._rest = b""


class Sink:
    """What is done with output that the guardian passes on: searched, logged, or nothing."""

    def __init__(self, lines: Lines | None, search: Search | None) -> None:
        self.lines = lines
        #: Until the process is ready.
        self.search = search

    @property
    def wanted(self) -> bool:
        """Whether the guardian has to pass output on."""
        return self.lines is not None or self.search is not None

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        search = self.search  # another thread takes it away
        if search is not None:
            search.feed(data)
        if self.lines is not None:
            self.lines.feed(data)

    def close(self) -> None:
        """No more will come."""
        lines, self.lines, self.search = self.lines, None, None
        if lines is not None:
            lines.close()


class FileOutput:
    """A file that the command itself writes to; nobody has to pass anything on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self._begin = self._read = os.fstat(self.fd).st_size

    def close(self) -> None:
        """The guardian has it now."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def read_new(self) -> bytes:
        """What was written since the last call."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        self._read += len(data)
        return data

    def tail(self) -> bytes:
        """The last part of what this process has written; or why that cannot be read."""
        try:
            with self.path.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(self._begin, end - TAIL))
                return file.read()
        except OSError as error:  # such as moved away: the error that shows the tail still comes
            return f"({self.path} cannot be read: {error.strerror or error})".encode()


def logged(where: logging.Logger | Literal["log"], name: str) -> Lines:
    """Lines for a logger; for ``"log"`` under the name and id of the task under way."""
    logger = logging.getLogger("celery.task") if where == "log" else where
    # Celery's formatter shows them; it cannot find them in another thread by itself.
    extra = dict(zip(("task_name", "task_id"), task_now(), strict=True))
    return Lines(lambda line: logger.info("%s: %s", name, line, extra=extra))


def text_of(data: bytes) -> str:
    """Output as text, whatever is in it."""
    return data.decode("utf-8", "replace")

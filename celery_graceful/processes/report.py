"""What is known about a background process: told by its guardian, read by its owner."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from celery_graceful.processes.link import Bell
from celery_graceful.text import counting

log = logging.getLogger(__name__)


class Report:
    """One writer, the thread that listens; what it writes are single values, so no lock."""

    def __init__(self, name: str, on_output: Callable[[bytes], None]) -> None:
        self.bell = Bell()
        #: The command's pid, once it runs.
        self.pid: int | None = None
        #: An errno, and the program or folder it is about, when the command cannot be run.
        self.failure: tuple[int, bytes] | None = None
        #: The exit code; the negative number of the signal that ended it.
        self.returncode: int | None = None
        #: It ended before anybody asked it to.
        self.early = False
        #: All have ended, or could not be ended; the guardian is gone.
        self.over = False
        #: The guardian said its last word. Without, somebody killed it.
        self.in_order = False
        #: Processes that could not be ended.
        self.left: list[int] = []
        #: What went wrong on the way, for people.
        self.troubles: list[str] = []
        self.tail = b""
        #: How many tails, how many frames have come.
        self.tails = self.heard = 0
        #: The owner has asked for the end.
        self.asked = False
        #: There is no guardian.
        self.failed = False
        self.on_end: Callable[[], None] | None = None
        self._name = name
        self._on_output = on_output

    def hear(self, frame: tuple[Any, ...]) -> bool:
        """Take one of the guardian's frames; false after its last."""
        name, *values = frame
        if name == "output":
            self._on_output(values[0])
        else:
            getattr(self, f"_{name}")(*values)
        self.heard += 1
        self.bell.ring()
        return not self.in_order

    def close(self) -> None:
        """No more frames will come."""
        try:
            if not (self.in_order or self.failed or self.failure):
                self._guardian_died()
        finally:
            self.over = True
            self.bell.ring()

    def _guardian_died(self) -> None:
        """Its command has died with it, on Linux at least; the group is ended here."""
        if self.pid is None:
            if not self.asked:
                self.trouble("its guardian ended before it could start it")
            return
        self.trouble("its guardian was killed, and it with it")
        if self.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._ended(-signal.SIGKILL, not self.asked, self.tail)

    def wait(self, until: Callable[[], bool], seconds: float) -> bool:
        """Wait until something is true, or for so long; whether it is."""
        end = time.monotonic() + seconds
        while not until():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.bell.wait(left)
        return True

    def _started(self, pid: int) -> None:
        self.pid = pid

    def _failed(self, number: int, what: bytes) -> None:
        self.failure = (number, what)

    def _ended(self, code: int, early: bool, tail: bytes) -> None:
        self.tail, self.returncode, self.early = tail, code, early  # early: with a code already
        if early and self.on_end is not None:
            self.on_end()

    def _tail(self, tail: bytes) -> None:
        self.tail = tail
        self.tails += 1

    def trouble(self, what: str) -> None:
        """Log what went wrong, and keep it for the error of the block, if there is one."""
        self.troubles.append(what)
        log.warning("Background process %s (pid %s): %s", self._name, self.pid, what)

    def _trouble(self, what: str) -> None:
        self.trouble(what)

    def _left(self, pids: list[int]) -> None:
        self.left = pids
        self.trouble(f"still there after SIGKILL: {counting.pids(pids)}")

    def _over(self) -> None:
        self.in_order = True

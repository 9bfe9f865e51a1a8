"""What its owner knows about a background process, by its guardian's reports."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from celery_graceful.text import counting

log = logging.getLogger("celery_graceful.processes")

#: A wait ends to look again after at most so many seconds: see ``Report._wake``.
_LOOK_EVERY = 0.05


class Report:
    """One writer, the thread that listens; what it writes are single values, so no lock."""

    def __init__(self, name: str, on_output: Callable[[bytes], None]) -> None:
        #: The command's pid, once it runs.
        self.pid: int | None = None
        #: An errno, and the program or folder it is about, when the command cannot be run.
        self.failure: tuple[int, bytes] | None = None
        #: The exit code; the negative number of the signal that ended it.
        self.returncode: int | None = None
        #: It ended before the owner asked it to.
        self.early = False
        #: All have ended, or cannot be ended; the guardian is gone.
        self.over = False
        #: The guardian's last frame has come. Without, it was killed.
        self.in_order = False
        #: What went wrong on the way, for people.
        self.troubles: list[str] = []
        self.tail = b""
        #: How many tails, how many frames have come.
        self.tails = self.frames = 0
        #: The owner has asked for the end.
        self.asked = False
        #: There is no guardian.
        self.failed = False
        self.on_end: Callable[[], None] | None = None
        self._name = name
        self._on_output = on_output
        # A bare lock: a ``Condition`` that the exception of a signal handler leaves at the wrong
        # moment would stay locked for ever. So a wake-up may be missed, or come in vain.
        self._wake = threading.Lock()
        self._wake.acquire()

    def add(self, frame: tuple[Any, ...]) -> bool:
        """Take one of the guardian's frames; false after its last."""
        match frame:
            case ("output", data):
                self._on_output(data)
            case ("started", pid):
                self.pid = pid
            case ("failed", number, what):
                self.failure = number, what
            case ("ended", code, early, tail):
                self._set_ended(code, early, tail)
            case ("tail", tail):
                self.tail = tail
                self.tails += 1
            case ("trouble", what):
                self.trouble(what)
            case ("left", pids):
                self.trouble(f"still there after SIGKILL: {counting.pids(pids)}")
            case ("over",):
                self.in_order = True
        self.frames += 1
        self._notify()
        return not self.in_order

    def close(self) -> None:
        """No more frames will come."""
        try:
            if not (self.in_order or self.failed or self.failure):
                self._guardian_died()
        finally:
            self.over = True
            self._notify()

    def wait(self, until: Callable[[], bool], seconds: float) -> bool:
        """Wait until something is true, at most so long; whether it is."""
        end = time.monotonic() + seconds
        while not until():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._wake.acquire(timeout=min(left, _LOOK_EVERY))
        return True

    def wait_news(self, seconds: float) -> None:
        """Wait for a frame, at most so long."""
        before = self.frames
        self.wait(lambda: self.frames > before, seconds)

    def trouble(self, what: str) -> None:
        """Log what went wrong, and keep it for the error of the block, if there is one."""
        self.troubles.append(what)
        log.warning("Background process %s (pid %s): %s", self._name, self.pid, what)

    def _notify(self) -> None:
        if self._wake.locked():
            with contextlib.suppress(RuntimeError):  # another thread has just done it
                self._wake.release()

    def _set_ended(self, code: int, early: bool, tail: bytes) -> None:
        self.tail, self.returncode, self.early = tail, code, early  # early: with a code already
        if early and self.on_end is not None:
            self.on_end()

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
        self._set_ended(-signal.SIGKILL, not self.asked, self.tail)

"""Starting a guardian, and the owner's end of the socket to it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery_graceful.forks import after_fork
from celery_graceful.processes import guardian
from celery_graceful.processes.guardian.frames import CHUNK, Frames, pack

#: Seconds a guardian has to exit after its last frame.
_EXIT_TIMEOUT = 5.0
_RUN = str(Path(guardian.__file__).with_name("run.py"))
#: Descriptors from here on cannot be one of the standard ones.
_BEYOND_STANDARD = 10


class GuardianLink:
    """A socket to one guardian. As long as it is open, the guardian sees a living owner."""

    def __init__(self, ours: socket.socket, guardian: int) -> None:
        self.socket = ours
        #: The guardian's pid.
        self.guardian = guardian
        #: This is a fork of the owner, which has nothing to do with the guardian.
        self.inherited = False
        #: Around the reaping: a pid that is free may be given to another process.
        self._lock = threading.Lock()
        self._reaped = False
        after_fork(self._in_fork)

    def send(self, *frame: Any) -> bool:
        """Send a frame; false when the guardian is gone."""
        try:
            self.socket.sendall(pack(*frame))
        except OSError:
            return False
        return True

    def let_go(self) -> None:
        """Let the guardian see the end of its owner, and go on listening to it.

        In a fork of the owner: nothing.
        """
        if not self.inherited:
            with contextlib.suppress(OSError):  # it has ended before
                self.socket.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """Kill a guardian that does nothing; on Linux its command dies with it."""
        with self._lock:
            if not self._reaped and not self.inherited:
                with contextlib.suppress(ProcessLookupError):  # an event loop has reaped it
                    os.kill(self.guardian, signal.SIGKILL)

    def listen(self, on_frame: Callable[[tuple[Any, ...]], bool]) -> None:
        """Take frames until ``on_frame`` had the last, or the guardian is gone, and reap it."""
        frames, more = Frames(), True
        while more and (data := self._receive()):
            more = all(on_frame(frame) for frame in frames.add(data))
            time.sleep(0)  # a greenlet that always finds more would let no other run
        self.socket.close()
        if not self._reap():
            self.kill()  # it has nothing left to do, and would stay a zombie
            self._reap()

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(CHUNK)
        except OSError:
            return b""

    def _reap(self) -> bool:
        until = time.monotonic() + _EXIT_TIMEOUT
        while time.monotonic() < until:
            with self._lock:
                try:
                    self._reaped = bool(os.waitpid(self.guardian, os.WNOHANG)[0])
                except ChildProcessError:
                    self._reaped = True  # an event loop has done it
            if self._reaped:
                return True
            time.sleep(0.001)
        return False

    def _in_fork(self) -> None:
        """A fork that keeps the socket open would hide the end of its parent."""
        self.inherited = True
        with contextlib.suppress(OSError):
            self.socket.close()

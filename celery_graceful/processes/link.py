"""The owner's end: a guardian is started, sent frames, and listened to by a thread."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from celery_graceful.processes.guardian.wire import CHUNK, Frames, pack

#: Seconds a guardian has to leave after it has said its last word.
_LAST_STEPS = 5.0


class Bell:
    """Wakes who waits. A bare lock: a ``Condition`` that an exception of a signal handler leaves
    in the wrong moment would stay locked for ever. So it may ring in vain, or not be heard: look
    again after at most ``LONGEST`` seconds."""

    LONGEST = 0.05

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Wake one who waits, or the next who does."""
        if self._lock.locked():
            with contextlib.suppress(RuntimeError):  # somebody else did it just now
                self._lock.release()

    def wait(self, seconds: float) -> None:
        """Wait for a ring, never longer than ``LONGEST``."""
        self._lock.acquire(timeout=max(0.0, min(seconds, self.LONGEST)))


class Link:
    """A socket to one guardian. As long as it is open, the guardian sees a living owner."""

    def __init__(self, ours: socket.socket, guardian: int) -> None:
        self.socket = ours
        #: The guardian's pid.
        self.guardian = guardian
        self.owner = os.getpid()
        #: Around the reaping: a pid that is free may be given to somebody else.
        self._lock = threading.Lock()
        self._reaped = False
        _links.add(self)

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
        if os.getpid() == self.owner:
            with contextlib.suppress(OSError):  # it has gone before
                self.socket.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """Kill a guardian that does nothing; on Linux its command dies with it."""
        with self._lock:
            if not self._reaped and os.getpid() == self.owner:
                with contextlib.suppress(ProcessLookupError):  # an event loop has reaped it
                    os.kill(self.guardian, signal.SIGKILL)

    def listen(self, hear: Callable[[tuple[Any, ...]], bool]) -> None:
        """Take frames until ``hear`` has had the last, or the guardian is gone, and reap it."""
        frames, more = Frames(), True
        while more and (data := self._receive()):
            more = all(hear(frame) for frame in frames.add(data))
            time.sleep(0)  # a greenlet that always finds more would let no other run
        self.socket.close()
        if not self._reap(_LAST_STEPS):
            self.kill()  # it has nothing left to do, and would be a zombie for good
            self._reap(_LAST_STEPS)

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(CHUNK)
        except OSError:
            return b""

    def _reap(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
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


_links: WeakSet[Link] = WeakSet()


def _close_in_fork() -> None:
    """A fork that keeps the sockets open would hide the end of its parent."""
    for link in list(_links):
        with contextlib.suppress(OSError):  # each on its own: the others have to be closed as well
            link.socket.close()


os.register_at_fork(after_in_child=_close_in_fork)

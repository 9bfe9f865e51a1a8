"""Starting a guardian, and the owner's end of the socket to it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakSet

from celery_graceful.errors import ProcessError
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
        self.owner = os.getpid()
        #: Around the reaping: a pid that is free may be given to another process.
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
            with contextlib.suppress(OSError):  # it has ended before
                self.socket.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """Kill a guardian that does nothing; on Linux its command dies with it."""
        with self._lock:
            if not self._reaped and os.getpid() == self.owner:
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


_links: WeakSet[GuardianLink] = WeakSet()


@after_fork
def _close_in_fork() -> None:
    """A fork that keeps the sockets open would hide the end of its parent."""
    for link in list(_links):
        with contextlib.suppress(OSError):  # each on its own: the others have to be closed as well
            link.socket.close()


def start_guardian(label: str, file: int | None, lock: int | None) -> GuardianLink:
    """Start a guardian that waits for its first frame.

    It gets the other end of a socket, the file and the lock, nothing else. They are not inheritable
    here, so that no other child of this process keeps them open. All signals are blocked from its
    first instant on, until it ignores them: one to the whole group does not reach it.

    Args:
        label: what is shown behind its own command in a list of processes.
        file: the descriptor of the file that the command writes to.
        lock: a descriptor that holds a lock; the guardian keeps it open.

    Raises:
        ProcessError: this system or Python cannot do it.
    """
    if not hasattr(os, "posix_spawn") or not sys.executable:
        raise ProcessError(
            f"background_process needs a POSIX system and the path of Python; this is "
            f"{sys.platform} with sys.executable={sys.executable!r}"
        )
    ours, theirs = socket.socketpair()
    given: dict[int, int] = {}
    try:
        for at, fd in ((0, theirs.fileno()), (1, file), (3, lock)):
            if fd is not None:
                given[at] = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _BEYOND_STANDARD)
        return GuardianLink(ours, _spawn(label, given))
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
        for fd in given.values():
            os.close(fd)


def _spawn(label: str, given: dict[int, int]) -> int:
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", "-X", "utf8", _RUN, label],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, given[at], at)
            if at in given
            else (os.POSIX_SPAWN_OPEN, at, os.devnull, os.O_WRONLY, 0)
            for at in range(4)
        ],
        setsigmask=signal.valid_signals(),
    )

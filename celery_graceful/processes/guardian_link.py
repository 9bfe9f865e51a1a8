"""Starting a guardian, the owner's end of the socket to it, and what it reports."""

from __future__ import annotations

import contextlib
import fcntl
import logging
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
from celery_graceful.text import counting

log = logging.getLogger("celery_graceful.processes")

#: Seconds a guardian has to exit after its last frame.
_EXIT_TIMEOUT = 5.0
_RUN = str(Path(guardian.__file__).with_name("run.py"))
#: Descriptors from here on cannot be one of the standard ones.
_BEYOND_STANDARD = 10
#: A wait ends to look again after at most so many seconds: see ``Report._wake``.
_LOOK_EVERY = 0.05


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

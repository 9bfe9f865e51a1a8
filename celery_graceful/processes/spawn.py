"""Starting a guardian."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
from pathlib import Path

from celery_graceful.errors import ProcessError
from celery_graceful.processes import guardian
from celery_graceful.processes.link import Link

_RUN = str(Path(guardian.__file__).with_name("run.py"))
#: Descriptors from here on cannot be one of the standard ones.
_BEYOND_STANDARD = 10


def spawn_guardian(label: str, file: int | None, lock: int | None) -> Link:
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
    given = []
    try:
        for at, fd in ((0, theirs.fileno()), (1, file), (3, lock)):
            if fd is not None:
                given.append((at, fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _BEYOND_STANDARD)))
        return Link(ours, _spawn(label, dict(given)))
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
        for _, fd in given:
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

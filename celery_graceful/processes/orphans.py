"""Guardians whose owner was killed, and that ended as children of a container's first process."""

from __future__ import annotations

import contextlib
import os

from celery_graceful.processes.guardian.system import LINUX, NAME


def is_first_process() -> bool:
    """Whether the orphans of this container become children of this very process."""
    return LINUX and os.getpid() == 1


def reap_guardians() -> int:
    """Reap the guardians among this process's children that have ended; returns how many.

    Nobody else is reaped: some other code may wait for its own child. A guardian that this process
    waits for itself is not missed either.

    Raises:
        ImportError: psutil is missing, the extra ``processes``.
    """
    import psutil

    reaped = 0
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
            if child.status() == psutil.STATUS_ZOMBIE and child.name() == NAME:
                reaped += bool(os.waitpid(child.pid, os.WNOHANG)[0])
    return reaped

"""The processes of this host, by psutil."""

from __future__ import annotations

import os
from importlib.util import find_spec

from celery_graceful.doctor.tree import Process

#: What to say where psutil is missing.
HOW_TO = "pip install 'celery-graceful[processes]'"


def readable() -> bool:
    """Whether processes can be looked at: psutil is installed."""
    return find_spec("psutil") is not None


def all_processes() -> list[Process]:
    """All processes that this one may look at."""
    import psutil

    return [_seen(process) for process in psutil.process_iter()]


def own_ancestry() -> list[Process]:
    """This process and all above it."""
    import psutil

    own = psutil.Process(os.getpid())
    return [_seen(process) for process in (own, *own.parents())]


def _seen(process: object) -> Process:
    import psutil

    assert isinstance(process, psutil.Process)
    ppid, argv, environ = 0, (), {}
    try:
        ppid, argv = process.ppid(), tuple(process.cmdline())
        environ = process.environ()
    except (psutil.Error, OSError):
        pass  # gone by now, or of another user: the rest of the tree tells without it
    return Process(process.pid, ppid, argv, environ)

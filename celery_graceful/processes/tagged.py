"""Processes that bear the tag of a background process, wherever they went. Needs psutil."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Any

__all__ = ["TAG", "end"]

#: The environment variable that marks a background process and its descendants.
TAG = "CELERY_GRACEFUL_PROCESS"
#: Seconds after SIGKILL until what is still there is given up.
_KILL_PATIENCE = 2.0


def end(tag: str, stop_signal: int, grace: float) -> list[int]:
    """Ask all that bear ``tag`` to end, and kill them after ``grace`` seconds; returns their pids.

    Raises:
        ImportError: psutil is not installed.
    """
    import psutil

    if os.environ.get(TAG) == tag:
        return []  # this process is one of them
    found = _find(tag)
    _send(found, stop_signal)
    psutil.wait_procs(found, timeout=grace)
    until = time.monotonic() + _KILL_PATIENCE
    # Again until nobody is found: one may have forked after the table was read, and have ended.
    while (left := _find(tag)) and time.monotonic() < until:
        _send(left, signal.SIGKILL)
        psutil.wait_procs(left, timeout=max(0.0, until - time.monotonic()))
    return [process.pid for process in found]


def _find(tag: str) -> list[Any]:
    import psutil

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # gone, or of another user
            if process.environ().get(TAG) == tag:
                found.append(process)
    return found


def _send(processes: list[Any], number: int) -> None:
    import psutil

    for process in processes:
        with contextlib.suppress(psutil.Error):  # it has gone
            process.send_signal(number)

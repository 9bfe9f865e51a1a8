"""Ending processes that nobody waits for: SIGTERM, a moment, SIGKILL."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence

import psutil

from celery_graceful.processes.leaks.table import Found, alive

#: Seconds after SIGKILL until what is still there is no longer tried.
KILL_PATIENCE = 0.5
_LOOK = 0.01


def end(
    left: Sequence[Found], grace: float, others: Callable[[], Sequence[Found]]
) -> tuple[list[int], list[int]]:
    """End processes, and what they start meanwhile; an exception that comes means SIGKILL at once.

    Args:
        left: the processes.
        grace: seconds from SIGTERM to SIGKILL.
        others: what descends from them and was not known before.

    Returns:
        The pids of those that got SIGKILL, and of those that are still there.
    """
    killed: list[int] = []
    processes = [found.process for found in left]
    try:
        for process in processes:
            with contextlib.suppress(psutil.Error):  # gone; another user's is found alive below
                process.terminate()
        _wait(processes, grace)
    finally:
        until = time.monotonic() + KILL_PATIENCE
        while time.monotonic() < until:
            processes += [found.process for found in others()]
            stubborn = [process for process in processes if alive(process)]
            killed += [p.pid for p in stubborn if p.pid not in killed]
            for process in stubborn:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            if not stubborn:
                break
            _wait(stubborn, _LOOK * 5)
        for process in processes:
            _reap(process.pid)
    return killed, [process.pid for process in processes if alive(process)]


def _wait(processes: Sequence[psutil.Process], seconds: float) -> None:
    until = time.monotonic() + seconds
    while any(alive(process) for process in processes) and time.monotonic() < until:
        time.sleep(_LOOK)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):  # another's child, or waited for already
        os.waitpid(pid, os.WNOHANG)

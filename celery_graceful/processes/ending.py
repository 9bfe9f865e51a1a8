"""Finding and ending processes by psutil, where no guardian does it."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import psutil

from celery_graceful.processes.guardian.system import NAME
from celery_graceful.processes.start_options import TAG

#: Seconds after SIGKILL until a process that is still there counts as unkillable.
_KILL_PATIENCE = 2.0
#: Seconds between two checks of processes that were asked to end, and two rounds of SIGKILL.
_LOOK_EVERY, _KILL_EVERY = 0.01, 0.05
#: Seconds by which the clocks of the registry and of the system may differ.
_CLOCKS = 2.0


class Ended(NamedTuple):
    """Pids of those that got SIGKILL, and of those that are still there after it."""

    killed: list[int]
    left: list[int]


def end(
    processes: Iterable[psutil.Process],
    stop_signal: int,
    grace: float,
    more: Callable[[], Iterable[psutil.Process]],
    patience: float | None = None,
) -> Ended:
    """Ask processes to end, and kill them and their descendants; an exception kills at once.

    Args:
        processes: those that are asked.
        stop_signal: how.
        grace: seconds from then to SIGKILL.
        more: what they have started meanwhile. Asked again until nothing is found: one may have
            forked when the process table had been read, and have ended.
        patience: seconds from SIGKILL until what is left counts as unkillable.
    """
    known, killed = list(processes), []
    try:
        _send(known, stop_signal)
        _wait(known, grace)
    finally:
        until, late = time.monotonic() + (_KILL_PATIENCE if patience is None else patience), False
        while True:
            known += [process for process in more() if process not in known]
            left = [process for process in known if is_alive(process)]
            if not left or late:
                break
            late = time.monotonic() >= until  # a last look, however long this one took
            killed += [process.pid for process in left if process.pid not in killed]
            _send(left, signal.SIGKILL)
            _wait(left, _KILL_EVERY)
    return Ended(killed, [process.pid for process in left])


def end_tagged(tag: str, stop_signal: int, grace: float) -> tuple[list[int], list[int]]:
    """End all processes with the tag of a background process, wherever they went.

    Returns:
        The pids that were found, and of these the ones that are still there.

    Raises:
        ValueError: the tag is empty.
    """
    if not isinstance(tag, str) or not tag:
        raise ValueError(f"{tag!r} is no tag: it would match processes without one")
    if os.environ.get(TAG) == tag:
        return [], []  # this process is one of them
    found = _tagged(tag)
    return [process.pid for process in found], end(
        found, stop_signal, grace, lambda: _tagged(tag)
    ).left


def inaccessible(command: str, since: float) -> list[int]:
    """Processes of others that seem to run ``command``, as those that ``sudo`` starts.

    Their command line can be read, their tag cannot.

    Args:
        command: as in the registry.
        since: when it was registered, in seconds since the epoch.
    """
    found = []
    for process in psutil.process_iter():
        try:
            process.environ()
        except psutil.AccessDenied:
            if _runs(process, command, since):
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue  # it has ended
    return found


def is_alive(process: psutil.Process) -> bool:
    """Whether it is the same as before, and no zombie: its parent may never reap it."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def reap_guardians() -> int:
    """Reap the guardians among this process's children that have ended; returns how many.

    In a container, orphans become children of its first process. No other child is reaped: some
    other code may wait for it. A guardian that this process waits for itself is not missed either.
    """
    reaped = 0
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
            if child.status() == psutil.STATUS_ZOMBIE and child.name() == NAME:
                reaped += bool(os.waitpid(child.pid, os.WNOHANG)[0])
    return reaped


def _tagged(tag: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # it has ended, or is another user's
            if process.environ().get(TAG) == tag:
                found.append(process)
    return found


def _runs(process: psutil.Process, command: str, since: float) -> bool:
    with contextlib.suppress(psutil.Error):
        line = shlex.join(process.cmdline())
        ours = bool(line) and (line == command or command.endswith(f" {line}"))
        return ours and process.create_time() >= since - _CLOCKS
    return False


def _wait(processes: Sequence[psutil.Process], seconds: float) -> None:
    until = time.monotonic() + seconds
    while any(map(is_alive, processes)) and time.monotonic() < until:
        time.sleep(_LOOK_EVERY)


def _send(processes: Sequence[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):  # it has ended; another user's is still alive then
            process.send_signal(number)

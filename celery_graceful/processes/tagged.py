"""Processes with the tag of a background process, wherever they went. Needs psutil."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import time
from typing import Any, NamedTuple

#: The environment variable that marks a background process and its descendants.
TAG = "CELERY_GRACEFUL_PROCESS"
#: Seconds after SIGKILL until what is still there is no longer tried.
_KILL_PATIENCE = 2.0
#: Seconds between two looks at processes that were asked to end.
_LOOK_EVERY = 0.02
#: Seconds by which the clocks of the ledger and of the system may differ.
_CLOCKS = 2.0


class Ended(NamedTuple):
    """Pids."""

    found: list[int]
    #: Those that are still there after SIGKILL.
    left: list[int]


def end(tag: str, stop_signal: int, grace: float) -> Ended:
    """Ask all with ``tag`` to end, and kill them after ``grace`` seconds.

    Raises:
        ImportError: psutil is not installed.
        ValueError: the tag is empty.
    """

    if not isinstance(tag, str) or not tag:
        raise ValueError(f"{tag!r} is no tag: it would match processes without one")
    if os.environ.get(TAG) == tag:
        return Ended([], [])  # this process is one of them
    found = _find(tag)
    _send(found, stop_signal)
    _wait(found, grace)
    until, late = time.monotonic() + _KILL_PATIENCE, False
    # Again until nobody is found: one may have forked after the table was read, and have ended.
    # Once at least, however long the look took.
    while (left := _find(tag)) and not late:
        late = time.monotonic() >= until
        _send(left, signal.SIGKILL)
        _wait(left, until - time.monotonic())
    return Ended([process.pid for process in found], [process.pid for process in left])


def hidden(command: str, since: float) -> list[int]:
    """Processes that this user cannot look into, and that seem to run ``command``.

    As ``sudo`` starts them: their command line can be read, their tag cannot.

    Args:
        command: as the ledger has it.
        since: when it was entered, in seconds since the epoch.
    """
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            process.environ()
        except psutil.AccessDenied:
            if _runs(process, command, since):
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue  # gone
    return found


def _runs(process: Any, command: str, since: float) -> bool:
    import psutil

    with contextlib.suppress(psutil.Error):
        line = shlex.join(process.cmdline())
        ours = bool(line) and (line == command or command.endswith(f" {line}"))
        return ours and process.create_time() >= since - _CLOCKS
    return False


def _find(tag: str) -> list[Any]:
    import psutil

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # gone, or of another user
            if process.environ().get(TAG) == tag:
                found.append(process)
    return found


def _wait(processes: list[Any], seconds: float) -> None:
    """Wait until all have ended. A zombie has: its parent may never reap it."""
    import psutil

    deadline = time.monotonic() + seconds
    while any(map(_is_alive, psutil.wait_procs(processes, timeout=0)[1])):
        if time.monotonic() >= deadline:
            return
        time.sleep(_LOOK_EVERY)


def _is_alive(process: Any) -> bool:
    import psutil

    with contextlib.suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _send(processes: list[Any], number: int) -> None:
    import psutil

    for process in processes:
        with contextlib.suppress(psutil.Error):  # it has gone
            process.send_signal(number)

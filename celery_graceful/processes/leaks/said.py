"""What a process has written last, where that can be seen: in a file. Linux only."""

from __future__ import annotations

import os
import stat

#: How much is looked at, in bytes and in lines.
_BYTES, _LINES = 1024, 3


def last_output(pid: int) -> str:
    """The last lines that stand in the file for a process's stdout or stderr; empty without one.

    A file that is this process's own stdout or stderr, a log of the worker say, does not count:
    what stands there is not of that process.
    """
    own = [_regular(f"/proc/self/fd/{fd}") for fd in (1, 2)]
    for fd in (1, 2):
        path = f"/proc/{pid}/fd/{fd}"
        found = _regular(path)
        if found is None or found in own or not _is_written(pid, fd):
            continue
        if lines := _last_lines(path):
            return "\n".join(lines)
    return ""


def _regular(path: str) -> tuple[int, int] | None:
    """Which file it is, if it is one."""
    try:
        about = os.stat(path)
    except OSError:
        return None  # gone, closed, or of another user
    return (about.st_dev, about.st_ino) if stat.S_ISREG(about.st_mode) else None


def _is_written(pid: int, fd: int) -> bool:
    """Whether a process can write there: a new daemon may read a file by that number."""
    try:
        with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as info:
            flags = next(line.split()[1] for line in info if line.startswith("flags:"))
    except (OSError, StopIteration):
        return False  # gone, closed, or of another user
    return int(flags, 8) & os.O_ACCMODE != os.O_RDONLY


def _last_lines(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _BYTES))
            data = file.read(_BYTES)
    except OSError:
        return []
    return data.decode("utf-8", "replace").splitlines()[-_LINES:]

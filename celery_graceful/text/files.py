"""Reading a file that somebody else may have put there: regular, and not too large."""

from __future__ import annotations

import os
import stat


class NotRegular(OSError):
    """A FIFO, a device, a socket or a folder."""


class TooLarge(OSError):
    """Larger than what it may be."""


def read_regular(path: str | os.PathLike[str], most: int, *, own: bool = False) -> bytes:
    """Read a file as a whole.

    What is looked at is what was opened, so nobody can exchange it in between; and opening does
    not wait for the other end of a FIFO.

    Args:
        path: The file.
        most: Bytes it may have.
        own: It must belong to this user, be no link, and nobody else may be able to write to it.

    Raises:
        OSError: It cannot be read; :exc:`NotRegular`, :exc:`TooLarge`, ``PermissionError`` say why.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    fd = os.open(path, flags | (os.O_NOFOLLOW if own else 0))
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise NotRegular(0, "it is no regular file", str(path))
        if own and (about.st_uid != os.getuid() or about.st_mode & 0o022):
            raise PermissionError(0, "others can write to it", str(path))
        return _read(fd, most, path)
    finally:
        os.close(fd)


def _read(fd: int, most: int, path: object) -> bytes:
    parts, left = [], most + 1  # the size that fstat reports is 0 under /proc
    while left > 0 and (part := os.read(fd, min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    if left <= 0:
        raise TooLarge(0, f"it is larger than {most} bytes", str(path))
    return b"".join(parts)

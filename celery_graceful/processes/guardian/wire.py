"""Frames between guardian and owner: a length and a marshalled tuple, over one socket.

Both ends are the same Python, so marshal will do; its import costs nothing.
"""

from __future__ import annotations

import marshal
import posix
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: How much is read at once, in bytes.
CHUNK = 64 * 1024
#: How much may wait for an owner that does not read, in bytes; more output is left out.
_BACKLOG = 1024 * 1024


def pack(*frame: Any) -> bytes:
    """A frame as it travels: its name and its values."""
    data = marshal.dumps(frame)
    return len(data).to_bytes(4, "big") + data


class Frames:
    """Puts together what came in pieces."""

    def __init__(self) -> None:
        self._in = bytearray()

    def add(self, data: bytes) -> list[tuple[Any, ...]]:
        """The frames that are complete with ``data``."""
        self._in += data
        frames = []
        while len(self._in) >= 4:
            end = 4 + int.from_bytes(self._in[:4], "big")
            if len(self._in) < end:
                break
            frames.append(marshal.loads(bytes(self._in[4:end])))
            del self._in[:end]
        return frames


class Link:
    """The guardian's end; only the first frame is waited for."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        #: False once the owner has said its last word, and once nobody hears the guardian's.
        self.open = self.heard = True
        self.unsent = bytearray()
        self._frames = Frames()

    def first(self) -> list[tuple[Any, ...]]:
        """Wait for the first frame; what came behind it is in the list too."""
        posix.set_blocking(self.fd, True)
        frames: list[tuple[Any, ...]] = []
        while self.open and not frames:
            frames = self.read()
        posix.set_blocking(self.fd, False)
        return frames

    def read(self) -> list[tuple[Any, ...]]:
        """The frames that have come; ``open`` is false after the last."""
        try:
            data = posix.read(self.fd, CHUNK)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        self.open = bool(data)
        return self._frames.add(data)

    def send(self, *frame: Any) -> None:
        """Send a frame, as far as the owner takes it now."""
        if frame[0] == "output" and len(self.unsent) > _BACKLOG:
            return
        self.unsent += pack(*frame)
        self.write()

    def write(self) -> None:
        """Send what waits, as far as the owner takes it now."""
        try:
            while self.unsent and self.heard:
                del self.unsent[: posix.write(self.fd, self.unsent)]
        except BlockingIOError:
            return
        except OSError:
            self.heard = False

    def flush(self, seconds: float) -> None:
        """Send what waits; gives up after ``seconds``."""
        import select

        until, poll = time.monotonic() + seconds, select.poll()
        poll.register(self.fd, select.POLLOUT)
        while self.unsent and self.heard and time.monotonic() < until:
            poll.poll(100)
            self.write()

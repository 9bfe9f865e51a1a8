"""Frames between guardian and owner: a length and a marshalled tuple, over one socket.

Both ends run the same Python, so ``marshal`` will do; its import costs nothing.
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
#: How much may wait for an owner that does not read, in bytes; more output is dropped.
_BACKLOG = 1024 * 1024


def pack(*frame: Any) -> bytes:
    """A frame as it is sent: its name and its values."""
    data = marshal.dumps(frame)
    return len(data).to_bytes(4, "big") + data


class Frames:
    """Assembles frames from pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def add(self, data: bytes) -> list[tuple[Any, ...]]:
        """The frames that are complete with ``data``."""
        self._buffer += data
        frames = []
        while len(self._buffer) >= 4:
            end = 4 + int.from_bytes(self._buffer[:4], "big")
            if len(self._buffer) < end:
                break
            frames.append(marshal.loads(bytes(self._buffer[4:end])))
            del self._buffer[:end]
        return frames


class Channel:
    """The guardian's end of the socket; it blocks for the first frame only."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        #: Whether the owner may still send something, and whether it still reads.
        self.open = self.read_by_owner = True
        self.unsent = bytearray()
        self._frames = Frames()

    def first(self) -> list[tuple[Any, ...]]:
        """Wait for the first frame; frames that came right behind it are in the list too."""
        posix.set_blocking(self.fd, True)
        frames: list[tuple[Any, ...]] = []
        while self.open and not frames:
            frames = self.receive()
        posix.set_blocking(self.fd, False)
        return frames

    def receive(self) -> list[tuple[Any, ...]]:
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
        """Send a frame, as far as the owner reads now; :meth:`write` sends the rest."""
        if frame[0] == "output" and len(self.unsent) > _BACKLOG:
            return
        self.unsent += pack(*frame)
        self.write()

    def write(self) -> None:
        """Send what is unsent, as far as the owner reads now."""
        try:
            while self.unsent and self.read_by_owner:
                del self.unsent[: posix.write(self.fd, self.unsent)]
        except BlockingIOError:
            return
        except OSError:
            self.read_by_owner = False

    def flush(self, seconds: float) -> None:
        """Send what is unsent, within so many seconds."""
        import select

        until, poll = time.monotonic() + seconds, select.poll()
        poll.register(self.fd, select.POLLOUT)
        while self.unsent and self.read_by_owner and time.monotonic() < until:
            poll.poll(100)
            self.write()

"""A text in memory that several processes share: one thread writes it, all read it whole."""

from __future__ import annotations

import mmap
import struct
import time

#: A reader tries this often, a millisecond apart, before it assumes that the writer is dead.
TRIES = 20
_NUMBER, _LENGTH, _TEXT = 0, 4, 8


class ModeSnapshot:
    """A view of a part of shared memory; all zeros is an empty text.

    A number is odd while the text is written, and changes with it: a reader compares the number
    before and afterwards.

    Args:
        memory: the memory.
        at: where the snapshot begins.
        size: how many bytes it has.
    """

    #: Bytes that the longest text leaves to the number and the length.
    OVERHEAD = _TEXT

    def __init__(self, memory: mmap.mmap, at: int, size: int) -> None:
        self._memory = memory
        self._number = slice(at + _NUMBER, at + _NUMBER + 4)
        self._length = slice(at + _LENGTH, at + _LENGTH + 4)
        self._text = at + _TEXT
        self._most = size - _TEXT
        self._last = b""

    def write(self, text: bytes) -> None:
        """Replace the text. One thread of one process at a time."""
        if len(text) > self._most:
            raise ValueError(f"{len(text)} bytes are too long a text, {self._most} is the most")
        (number,) = struct.unpack("=I", self.number)
        # Odd already where an earlier write was cut off: it must not become even in between.
        odd = (number + 1) | 1
        self._memory[self._number] = struct.pack("=I", odd & 0xFFFFFFFF)
        self._memory[self._text : self._text + len(text)] = text
        self._memory[self._length] = struct.pack("=I", len(text))
        self._memory[self._number] = struct.pack("=I", (odd + 1) & 0xFFFFFFFF)

    @property
    def number(self) -> bytes:
        """Changes whenever the text does."""
        return self._memory[self._number]

    def __bool__(self) -> bool:
        """Whether there is any text."""
        return self._memory[self._length] != b"\0\0\0\0"

    def read(self) -> bytes:
        """The text; the one that was read last, where the writer does not finish.

        A writer that was killed in between never does; a live one takes microseconds.
        """
        for _ in range(TRIES):
            number = self.number
            (length,) = struct.unpack("=I", self._memory[self._length])
            text = self._memory[self._text : self._text + min(length, self._most)]
            if struct.unpack("=I", number)[0] % 2 == 0 and number == self.number:
                self._last = text
                return text
            time.sleep(0.001)
        return self._last

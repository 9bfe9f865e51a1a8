"""The bytes of the stop flag: what they mean, how they are read and written."""

from __future__ import annotations

import mmap
import struct
import time
from dataclasses import dataclass

from celery_graceful.model.run.reasons import StopReason

#: A reader tries this often, a millisecond apart, before it assumes that the writer is dead.
TRIES = 20
_NUMBER, _LENGTH, _TEXT = 0, 4, 8
#: What a flag's memory begins with.
MAGIC = b"celery-graceful\x01"
_REASON, _COLD, _RELEASED, _SOLO = 16, 17, 18, 19
_DEADLINE, _CUT, _FOR_TASKS = 24, 32, 40
#: Where the mode_snapshot is: what tasks under way have to leave for.
_SNAPSHOT, _SNAPSHOT_SIZE = 64, 64 * 1024
#: How much memory a flag needs, in bytes.
SIZE = _SNAPSHOT + _SNAPSHOT_SIZE
#: Seconds between two checks whether the worker takes no more messages.
_LOOK = 0.01
_CODES = {StopReason.SHUTDOWN: 1, StopReason.MAINTENANCE: 2}
_REASONS = {code: reason for reason, code in _CODES.items()}


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


@dataclass(frozen=True, slots=True)
class Stop:
    """What the flag says once it is up."""

    reason: StopReason
    #: The worker kills what still runs; it does not wait for tasks to end.
    cold: bool


class StopFlag:
    """A view of the shared bytes. Test ``flag.raised`` at leisure, ``flag.memory[16]`` when hot."""

    def __init__(self, memory: mmap.mmap, owner_pid: int, worker: str) -> None:
        self.memory = memory
        self.owner_pid = owner_pid
        #: Names the worker that owns the flag, different at every start.
        self.worker = worker
        #: What tasks under way have to leave for; the worker's main process writes it.
        self.mode_snapshot = ModeSnapshot(memory, _SNAPSHOT, _SNAPSHOT_SIZE)

    # -- the main process writes ------------------------------------------------------------

    def raise_(self, reason: StopReason, *, cold: bool = False) -> bool:
        """Raise the flag; it is never cleared. Returns whether it was down until now."""
        if cold:
            self.memory[_COLD] = 1
        if self.memory[_REASON]:
            return False
        self.memory[_REASON] = _CODES[reason]
        return True

    def release(self) -> None:
        """Say that this worker takes no more messages: successors may be published."""
        self.memory[_RELEASED] = 1

    def set_solo(self) -> None:
        """Say that tasks run in the worker's own main thread, which cannot release anything."""
        self.memory[_SOLO] = 1

    def set_deadline(self, monotonic: float) -> None:
        """Say when the worker will be killed, on the system's monotonic clock, in seconds."""
        self._write_number(_DEADLINE, monotonic)

    def set_cut(self, monotonic: float) -> None:
        """Say when the worker will end what still runs (monotonic seconds); before the kill."""
        self._write_number(_CUT, monotonic)

    def set_for_tasks(self, seconds: float) -> None:
        """Say, at the worker's start, how long tasks would have from a stop until the cut."""
        self._write_number(_FOR_TASKS, seconds)

    def _write_number(self, offset: int, number: float) -> None:
        self.memory[offset : offset + 8] = struct.pack("=d", number)

    # -- everyone reads ---------------------------------------------------------------------

    @property
    def raised(self) -> bool:
        """Whether the worker stops."""
        return self.memory[_REASON] != 0

    @property
    def stop(self) -> Stop | None:
        """Why and how the worker stops, or ``None`` while it works on."""
        code = self.memory[_REASON]
        if not code:
            return None
        return Stop(_REASONS.get(code, StopReason.SHUTDOWN), self.memory[_COLD] != 0)

    @property
    def released(self) -> bool:
        """Whether the worker has said that it takes no more messages."""
        return self.memory[_RELEASED] != 0

    def wait_released(self, seconds: float) -> bool:
        """Wait until the worker takes no more messages, at most ``seconds``; whether it said so."""
        until = time.monotonic() + seconds
        while not self.released:
            if time.monotonic() >= until:
                return False
            time.sleep(_LOOK)
        return True

    @property
    def solo(self) -> bool:
        """Whether tasks run in the worker's own main thread."""
        return self.memory[_SOLO] != 0

    @property
    def deadline(self) -> float | None:
        """When the worker will be killed (monotonic seconds), if that is known."""
        return self._number(_DEADLINE)

    @property
    def cut(self) -> float | None:
        """When the worker ends what still runs (monotonic seconds), if that is known."""
        return self._number(_CUT)

    @property
    def for_tasks(self) -> float | None:
        """How long tasks have from a stop until they are cut off, in seconds, if that is known."""
        return self._number(_FOR_TASKS)

    def _number(self, offset: int) -> float | None:
        (number,) = struct.unpack("=d", self.memory[offset : offset + 8])
        return float(number) or None

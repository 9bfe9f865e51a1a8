"""A program in a terminal of its own: what it writes, of what size the terminal is, signals."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
#: The other screen of a terminal, and the usual one.
OTHER_SCREEN, USUAL_SCREEN, CURSOR_ON = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


class Terminal:
    """A command of ``celery graceful`` in a terminal, until it ends.

    Args:
        folder: where the module of the app is.
        app: its name.
        words: of the command.
        size: columns and lines.
        env: more of its environment.
    """

    def __init__(
        self,
        folder: Path,
        app: str,
        words: Sequence[str],
        size: tuple[int, int] = (80, 24),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._ours, theirs = pty.openpty()
        self.text = ""
        _set_size(theirs, size)
        unwanted = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "COLORTERM")
        inherited = {name: value for name, value in os.environ.items() if name not in unwanted}
        own = {
            "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
            "PYTHONIOENCODING": "utf-8",
            "TERM": "xterm-256color",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", app, "graceful", *words],
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.STDOUT,
            env={**inherited, **own, **(env or {})},
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        os.close(self._ours)

    def until(self, *wanted: str, timeout: float = 60.0) -> str:
        """Read until each of these was written since the last call; returns all that was."""
        deadline, began = time.monotonic() + timeout, len(self.text)
        while not all(each in self.text[began:] for each in wanted):
            left = deadline - time.monotonic()
            assert left > 0, f"{wanted} did not come: {self.text[began:]!r}"
            assert self.read(left), f"it ended without {wanted}: {self.text[began:]!r}"
        return self.text[began:]

    def read(self, timeout: float) -> bool:
        """Read what comes next; whether the program still writes."""
        if not select.select([self._ours], [], [], timeout)[0]:
            return True
        try:
            part = os.read(self._ours, 1 << 16)
        except OSError:  # the other end is closed
            return False
        self.text += part.decode(errors="replace")
        return bool(part)

    def resize(self, size: tuple[int, int]) -> None:
        """Give the terminal another size."""
        _set_size(self._ours, size)
        self.process.send_signal(signal.SIGWINCH)

    def end(self, number: signal.Signals = signal.SIGINT, timeout: float = 30.0) -> int:
        """Send a signal, read to the end, and return how the program exits."""
        self.process.send_signal(number)
        deadline = time.monotonic() + timeout
        while self.read(0.1):
            assert time.monotonic() < deadline, f"it does not end: {self.text[-2000:]!r}"
        return self.process.wait(timeout)


def _set_size(end: int, size: tuple[int, int]) -> None:
    columns, lines = size
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

"""Where frames are drawn: over each other in a terminal, or one below the other."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from celery_graceful.cli.output import say
from celery_graceful.cli.show.live.spans import Line, Span

#: What styles look like, for rich. Each of them also stands for what is written in words.
LOOKS = {
    "title": "bold",
    "heading": "bold underline",
    "good": "green",
    "warning": "yellow",
    "bad": "bold red",
    "note": "cyan",
    "id": "cyan",
    "why": "italic yellow",
    "dim": "dim",
}
#: Synchronized output: terminals that know it show the whole change at once, others ignore it.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
#: The other screen, no cursor, no wrapping; and back.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
_ENDS = (signal.SIGINT, signal.SIGTERM)
#: For terminals that write no UTF-8.
_ASCII = str.maketrans({"█": "#", "░": "-", "·": ".", "…": "~", "–": "-", "→": ">", "↳": ">"})


class Screen(AbstractContextManager["Screen"]):
    """Frames one below the other: into a pipe or file, and in a terminal that cannot do more."""

    def __init__(self) -> None:
        self._shown = False
        self._terminal = sys.stdout.isatty()

    @property
    def size(self) -> tuple[int | None, int | None]:
        """The cells of a line, and the lines; ``None``: any number."""
        return (shutil.get_terminal_size().columns if self._terminal else None), None

    def show(self, frame: Sequence[Line]) -> None:
        """Draw a frame."""
        if self._shown:
            say()
        self._shown = True
        for line in frame:
            say("".join(span.text for span in line).rstrip())
        sys.stdout.flush()

    def redraw(self) -> None:
        """The size of the terminal has changed."""

    def __exit__(self, *exc: object) -> None:
        """Nothing to give back."""


class TerminalScreen(Screen):
    """A terminal, by rich: only lines that have changed are written, so nothing flickers.

    Frames are drawn on the terminal's other screen, where a change of its size garbles nothing, and
    at the end the last frame is left on the usual one.
    """

    def __init__(self) -> None:
        from rich.console import Console  # an extra

        super().__init__()
        self._console = Console(highlight=False, markup=False, emoji=False, legacy_windows=False)
        #: What is on the screen; empty: nothing that is known.
        self._drawn: Sequence[Line] = ()
        self._frame: Sequence[Line] = ()
        self._entered = False
        self._ascii = "utf" not in (self._console.encoding or "").lower()

    @property
    def size(self) -> tuple[int | None, int | None]:
        """The cells of a line, and the lines."""
        columns, lines = shutil.get_terminal_size()
        return max(20, columns), max(4, lines)

    def __enter__(self) -> TerminalScreen:
        self.enter()
        return self

    def enter(self) -> None:
        """Take the terminal."""
        self._write(_ENTER)
        self._entered, self._drawn = True, ()

    def leave(self) -> None:
        """Give the terminal back."""
        if self._entered:
            self._entered = False
            self._write(_LEAVE)

    def redraw(self) -> None:
        """Draw the next frame as a whole."""
        self._drawn = ()

    def show(self, frame: Sequence[Line]) -> None:
        """Draw what is new in a frame."""
        drawn, self._drawn, self._frame = self._drawn, frame, frame
        parts = [] if drawn else ["\x1b[2J"]
        for at, line in enumerate(frame):
            if at >= len(drawn) or drawn[at] != line:
                parts.append(f"\x1b[{at + 1};1H{self._styled(line)}\x1b[K")
        if len(frame) < len(drawn):
            parts.append(f"\x1b[{len(frame) + 1};1H\x1b[J")
        if parts:
            self._write(_BEGIN + "".join(parts) + _END)

    def __exit__(self, *exc: object) -> None:
        """Leave the last frame on the usual screen."""
        if not self._entered:
            return
        # Somebody who is in a hurry presses Ctrl-C again.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
        try:
            self.leave()
            self._write("".join(f"{self._styled(line)}\n" for line in self._frame))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)

    def _styled(self, line: Line) -> str:
        text = self._text(line)
        with self._console.capture() as captured:
            self._console.print(text, end="", soft_wrap=True)
        return captured.get()

    def _text(self, line: Line) -> Any:
        from rich.text import Text

        spans = [(self._plain(span), LOOKS.get(span.style, "")) for span in line]
        return Text.assemble(*spans, end="")

    def _plain(self, span: Span) -> str:
        if not self._ascii:
            return span.text
        return span.text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def screen_here() -> Screen:
    """Where frames go: into the terminal, where there is one that can move its cursor."""
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") in ("dumb", "unknown", ""):
        return Screen()
    try:
        return TerminalScreen()
    except ImportError:
        say(
            "Frames come one below the other, since rich is not installed:"
            " pip install 'celery-graceful[cli]'",
            err=True,
        )
        return Screen()


def lines_here() -> int | None:
    """How many lines the terminal has; ``None``: there is none that frames are drawn on."""
    return shutil.get_terminal_size().lines if sys.stdout.isatty() else None

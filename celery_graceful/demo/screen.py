"""What is shown: a live bar in a terminal with rich, plain lines everywhere else."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import IO, Any

#: A line each time so many percent more are done, where there is no live bar.
STEP = 10


class Screen(AbstractContextManager["Screen"]):
    """Plain lines, each with the seconds since the beginning."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self._began = time.monotonic()
        self._next = STEP

    def say(self, text: str, *, stamped: bool = True) -> None:
        """Print a line."""
        self._print(f"{time.monotonic() - self._began:5.1f} s  {text}" if stamped else text)

    def progress(self, done: int, total: int, who: str) -> None:
        """How many items are done, and which worker runs them."""
        percent = 100 * done // total
        if percent >= self._next:
            self._next = percent - percent % STEP + STEP
            self.say(f"{done:5} of {total} files, {who}")

    def _print(self, line: str) -> None:
        print(line, file=self.stream, flush=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""


class LiveScreen(Screen):
    """The same lines above a live progress bar, by rich."""

    def __init__(self, stream: IO[str]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        super().__init__(stream)
        self._bar = Progress(
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("files  {task.description}", markup=False),
            console=Console(file=stream, highlight=False),
            transient=True,
            expand=True,
        )
        self._task: Any = None

    def progress(self, done: int, total: int, who: str) -> None:
        if self._task is None:
            self._task = self._bar.add_task(who, total=total)
            self._bar.start()
        self._bar.update(self._task, completed=done, description=who)

    def _print(self, line: str) -> None:
        self._bar.console.print(line, markup=False, soft_wrap=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()


def screen(stream: IO[str]) -> Screen:
    """A live screen if ``stream`` is a terminal and rich is installed."""
    if not stream.isatty():
        return Screen(stream)
    try:
        return LiveScreen(stream)
    except ImportError:
        return Screen(stream)

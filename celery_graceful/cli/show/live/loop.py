"""Drawing frames until Ctrl-C: reading, waiting, and what signals do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from celery_graceful._celery.threads.native import Bell
from celery_graceful.cli.show.live.screens import Screen, TerminalScreen, screen_here
from celery_graceful.cli.show.live.spans import Line
from celery_graceful.errors import StoreError
from celery_graceful.text.masking import mask_text

T = TypeVar("T")

#: The shortest pause between two looks, in seconds.
LEAST_INTERVAL = 0.2
#: Looks are rarer where they would take more than a twenty-fifth of a processor.
_REST = 25

Frame = Callable[[T, str, int | None, int | None], Sequence[Line]]


class Stopped(BaseException):
    """A signal asks this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def watch(look: Callable[[], T], frame: Frame[T], interval: float) -> None:
    """Draw frames until Ctrl-C.

    Args:
        look: reads what is shown.
        frame: makes lines of it, of what is wrong now, and of the width and height that there is.
        interval: seconds between two looks.

    Raises:
        StoreError: the first look failed.
        KeyboardInterrupt: it is enough; the last frame is left where it is.
    """
    bell = Bell()
    seen = look()  # before the screen is taken: who sees it fail wants to read why
    try:
        screen = screen_here()
        with _signals(screen, bell), screen:
            _draw(look, frame, interval, seen, screen, bell)
    except Stopped as stopped:
        # As if nobody had asked: whoever sent it sees how this process ended.
        signal.signal(stopped.number, signal.SIG_DFL)
        os.kill(os.getpid(), stopped.number)


def _draw(
    look: Callable[[], T],
    frame: Frame[T],
    interval: float,
    seen: T,
    screen: Screen,
    bell: Bell,
) -> None:
    trouble = since = ""
    spent = time.process_time()
    while True:
        screen.show(frame(seen, trouble, *screen.size))
        took, spent = time.process_time() - spent, time.process_time()
        due = time.monotonic() + max(interval, LEAST_INTERVAL, _REST * took)
        while (left := due - time.monotonic()) > 0:
            if bell.wait(left):  # the terminal has another size
                screen.redraw()
                screen.show(frame(seen, trouble, *screen.size))
        try:
            seen, trouble, since = look(), "", ""
        except StoreError as exc:
            since = since or time.strftime("%H:%M:%S")
            trouble = (
                f"The store has not answered since {since}; this is what it said before. Trying"
                f" again. {mask_text(str(exc))}"
            )


@contextmanager
def _signals(screen: Screen, bell: Bell) -> Iterator[None]:
    """What signals do while frames are drawn; as before afterwards."""

    def stop(number: int, _: Any) -> None:
        raise Stopped(number)

    def resized(number: int, _: Any) -> None:
        bell.ring()

    def suspend(number: int, _: Any) -> None:
        if isinstance(screen, TerminalScreen):
            screen.leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)

    def resume(number: int, _: Any) -> None:
        signal.signal(signal.SIGTSTP, suspend)
        if isinstance(screen, TerminalScreen):
            screen.enter()
        bell.ring()

    wanted = {"SIGTERM": stop, "SIGHUP": stop, "SIGWINCH": resized}
    if isinstance(screen, TerminalScreen):
        wanted |= {"SIGTSTP": suspend, "SIGCONT": resume}
    numbers = {getattr(signal, name): do for name, do in wanted.items() if hasattr(signal, name)}
    before = {number: signal.signal(number, do) for number, do in numbers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

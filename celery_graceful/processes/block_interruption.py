"""Raising an exception in a block of somebody else's code, at once.

In the main thread by a signal, which also ends waiting in the kernel; in other threads and in
greenlets by an :class:`~celery_graceful._celery.threads.interruption.Edge`.
"""

from __future__ import annotations

import _thread
import signal
import threading
import time
from types import FrameType
from typing import Any, ClassVar

from celery_graceful._celery.threads.greenlets import threads_are_greenlets
from celery_graceful._celery.threads.interruption import Edge

#: Ignored where it is not handled, so that one that comes late does no harm.
_SIGNAL = signal.SIGURG
#: Seconds between two signals: one that comes right before a system call does not end that.
_AGAIN = 0.05


class MainThreadBlock:
    """A block in the main thread; opened, thrown into and closed like an ``Edge``."""

    #: The blocks that are open, and the handler from before the first of them.
    opened: ClassVar[list[MainThreadBlock]] = []
    _before: Any = None

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind
        self._thrown = False

    def open(self) -> None:
        if not self.opened:
            MainThreadBlock._before = signal.signal(_SIGNAL, _on_signal)
        self.opened.append(self)

    def close(self) -> None:
        if self in self.opened:
            self.opened.remove(self)
            if not self.opened:
                # Of the class: a function found by ``self`` would become a method.
                signal.signal(_SIGNAL, MainThreadBlock._before or signal.SIG_DFL)

    def throw(self) -> None:
        self._thrown = True
        _thread.start_new_thread(self._signal, ())

    def _signal(self) -> None:
        main = threading.main_thread().ident
        while self._thrown and self in self.opened and main is not None:
            signal.pthread_kill(main, _SIGNAL)
            time.sleep(_AGAIN)

    def take(self) -> type[BaseException] | None:
        """What is to be raised, once."""
        thrown, self._thrown = self._thrown, False
        return self.kind if thrown else None


def interruptible_block(kind: type[BaseException]) -> MainThreadBlock | Edge:
    """A block of the code that calls this; ``kind`` is raised without arguments."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    return MainThreadBlock(kind) if in_main_thread and not threads_are_greenlets() else Edge(kind)


def _on_signal(number: int, frame: FrameType | None) -> None:
    for block in MainThreadBlock.opened:
        if not _is_at_exit(frame, block) and (kind := block.take()):
            raise kind
    before = MainThreadBlock._before
    if callable(before):
        before(number, frame)


def _is_at_exit(frame: FrameType | None, block: MainThreadBlock) -> bool:
    """Whether its own ``__exit__`` has just been entered: nothing there could catch it yet, and the
    end of the block reports the same."""
    return (
        frame is not None
        and frame.f_code.co_name == "__exit__"
        and getattr(frame.f_locals.get("self"), "_block", None) is block
    )

"""Pool children: telling them from the main process, and guarding their work from SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from billiard import common
from billiard.common import TERM_SIGNAL as TERM_SIGNAL
from billiard.process import current_process

from celery_graceful.forks import after_fork

_guarded: set[int] = set()
#: Whether a guarded handler has ended this process.
_ending = False


@after_fork
def _begin_anew() -> None:
    global _ending
    _ending = False


def in_pool_child() -> bool:
    """Whether this is a prefork pool's child process."""
    return getattr(current_process(), "_name", "MainProcess") != "MainProcess"


def is_ending() -> bool:
    """Whether a termination signal is ending this pool child.

    An exception that arrives now comes from the signal, or from cleanup that failed because of it.
    """
    fired = getattr(common, "terminate_handler_fired", None)  # from billiard 4.3 on
    return _ending or (in_pool_child() and fired is not None and bool(fired()))


def guard_termination(takes_over: Callable[[], bool]) -> None:
    """Ask ``takes_over`` before a termination signal ends this pool child.

    A group SIGTERM (systemd, supervisord, dumb-init) reaches children as well as the worker and
    would kill the task in the middle of an item. When ``takes_over`` returns true, the signal is
    considered dealt with; else what was installed before runs. Only for pool children, in their
    main thread: elsewhere it would swallow the worker's own signal. billiard resets handlers
    after ``worker_process_init``, so this is called when a task starts.
    """
    if not in_pool_child() or threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGQUIT):
        if number in _guarded:
            continue
        before = signal.getsignal(number)
        if callable(before):  # not ignored: under REMAP_SIGTERM one of the two is
            signal.signal(number, _guard(before, takes_over))
            _guarded.add(number)


def _guard(
    before: Callable[[int, FrameType | None], Any], takes_over: Callable[[], bool]
) -> Callable[[int, FrameType | None], None]:
    def on_termination(number: int, frame: FrameType | None) -> None:
        global _ending
        if not takes_over():
            _ending = True
            before(number, frame)

    return on_termination

"""Waiting until a background process is ready, or has ended, or time is up."""

from __future__ import annotations

import time
from collections.abc import Callable

from celery_graceful.errors import ProcessError
from celery_graceful.processes import saying
from celery_graceful.processes.handle import Handle
from celery_graceful.processes.options import Begins, Options

#: Seconds of the first pause, the factor of each next one, seconds of the longest.
_FIRST, _FACTOR, _LONGEST = 0.005, 1.5, 0.25
#: Seconds between two looks at whether a place is free.
_FREE_LOOK = 0.1


def wait_free(options: Options) -> Callable[[], object] | None:
    """Wait until the place is free: one of before, whose task was killed, may still be ending.

    Returns:
        What says that the new process is ready.

    Raises:
        ProcessError: somebody else is still there after the time to get ready.
    """
    ready = options.ready
    if not isinstance(ready, Begins):
        return ready
    until = time.monotonic() + options.ready_timeout
    while True:
        try:
            return ready.begin()
        except ProcessError:
            if time.monotonic() >= until:
                raise
        time.sleep(_FREE_LOOK)


def wait_ready(handle: Handle) -> None:
    """Wait for what ``ready`` says.

    Raises:
        ProcessEnded: it ended first; its exit code does not matter.
        ProcessNotReady: time is up.
    """
    check = handle.check
    if check is None:
        return
    until = handle.began + handle.options.ready_timeout
    pause, last = _FIRST, None
    while True:
        try:
            ready, last = bool(_feed(handle) and check()), None
        except OSError as error:
            ready, last = False, error
        if handle.report.returncode is not None:
            raise handle.ended("before it was ready")
        if ready:
            return handle.now_ready()
        if time.monotonic() >= until:
            raise _not_ready(handle) from last
        _rest(handle, min(pause, max(0.0, until - time.monotonic())))
        pause = min(pause * _FACTOR, _LONGEST)


def _feed(handle: Handle) -> bool:
    """Let the search see what has been written to a file."""
    if handle.search is not None and handle.file is not None:
        handle.search.feed(handle.file.news())
    return True


def _rest(handle: Handle, seconds: float) -> None:
    """Pause; the end of the process cuts it short, as does output that is searched."""
    report, before = handle.report, handle.report.heard
    report.wait(lambda: report.heard > before, seconds)


def _not_ready(handle: Handle) -> Exception:
    known = handle.options
    return saying.not_ready(
        known.name, handle.report.pid, known.ready, known.ready_timeout, handle.output_tail()
    )

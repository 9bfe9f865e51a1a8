"""Waiting until a background process is ready; the errors that say that it is not, or has ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import TypeVar

from celery_graceful.durations import format_seconds
from celery_graceful.errors import ProcessEnded, ProcessError, ProcessNotReady
from celery_graceful.processes.handle import Handle
from celery_graceful.processes.process_output import text_of
from celery_graceful.processes.start_options import Begins, StartOptions

#: Seconds of the first pause, the factor of each next one, seconds of the longest.
_FIRST, _FACTOR, _LONGEST = 0.005, 1.5, 0.25
#: Seconds between two checks whether another process is still there.
_FREE_EVERY = 0.1
#: How many lines of output an error shows.
_SHOWN_LINES = 20

_E = TypeVar("_E", bound=ProcessError)


def wait_free(options: StartOptions) -> Callable[[], object] | None:
    """Wait until no other process answers: one of a task that was killed may still be ending.

    Returns:
        What says that the new process is ready.

    Raises:
        ProcessError: another one still answers after the time to get ready.
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
        time.sleep(_FREE_EVERY)


def wait_ready(handle: Handle) -> None:
    """Wait until the check is true.

    Raises:
        ProcessEnded: the process ended first; its exit code does not matter.
        ProcessNotReady: time is up.
    """
    check = handle.check
    if check is None:
        return
    until = handle.began + handle.options.ready_timeout
    pause, last = _FIRST, None
    while True:
        try:
            if handle.search is not None and handle.file is not None:
                handle.search.feed(handle.file.read_new())
            ready, last = bool(check()), None
        except OSError as error:
            ready, last = False, error
        if handle.report.returncode is not None:
            raise ended(handle, "before it was ready")
        if ready:
            return handle.now_ready()
        if time.monotonic() >= until:
            raise _not_ready(handle) from last
        handle.report.wait_news(min(pause, max(0.0, until - time.monotonic())))
        pause = min(pause * _FACTOR, _LONGEST)


def ended(handle: Handle, when: str) -> ProcessEnded:
    """The error that says how the process ended, too early; ``when`` ends the sentence."""
    code = handle.report.returncode
    assert code is not None
    seconds = format_seconds(time.monotonic() - handle.began)
    # Without a file its guardian sent the tail with its end.
    tail = text_of(handle.report.tail) if handle.file is None else handle.output_tail()
    how = f"ended with {_how_ended(code)} within {seconds}, {when}"
    return _error(ProcessEnded, handle, code, tail, how)


def _not_ready(handle: Handle) -> ProcessNotReady:
    known = handle.options
    how = f"was not ready after {format_seconds(known.ready_timeout)}: waited for {known.ready}"
    return _error(ProcessNotReady, handle, None, handle.output_tail(), how)


def _error(kind: type[_E], handle: Handle, code: int | None, tail: str, how: str) -> _E:
    pid, lines = handle.report.pid, tail.splitlines()[-_SHOWN_LINES:]
    output = "\n".join(["; its last output:", *lines]) if lines else "; it wrote nothing"
    error = kind(f"{handle.options.name} (pid {pid}) {how}{output}")
    error.pid, error.returncode, error.output_tail = pid, code, tail
    return error


def _how_ended(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"

"""Errors about background processes: which one, since when, how it ended, its last lines."""

from __future__ import annotations

import logging
import signal
import sys
from typing import TypeVar

from celery_graceful.durations import format_seconds
from celery_graceful.errors import ProcessEnded, ProcessError, ProcessNotReady

log = logging.getLogger(__name__)

_LINES = 20
_E = TypeVar("_E", bound=ProcessError)


def how_ended(code: int) -> str:
    """An exit code, or a signal, in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def ended(
    name: str, pid: int | None, code: int, seconds: float, tail: str, *, when: str
) -> ProcessEnded:
    """It ended too early.

    Args:
        name: its command.
        pid: its pid.
        code: its exit code, or the negative number of a signal.
        seconds: how long it had run when this was noticed.
        tail: its last output.
        when: before what; ends the sentence.
    """
    how = f"ended with {how_ended(code)} within {format_seconds(seconds)}, {when}"
    return _error(ProcessEnded, name, pid, code, tail, how)


def not_ready(
    name: str, pid: int | None, check: object, seconds: float, tail: str
) -> ProcessNotReady:
    """It still ran, but was not ready after ``seconds``; ``check`` says what was waited for."""
    how = f"was not ready after {format_seconds(seconds)}: waited for {check}"
    return _error(ProcessNotReady, name, pid, None, tail, how)


def _error(kind: type[_E], name: str, pid: int | None, code: int | None, tail: str, how: str) -> _E:
    lines = tail.splitlines()[-_LINES:]
    said = "\n".join(["; its last output:", *lines]) if lines else "; it wrote nothing"
    error = kind(f"{name} (pid {pid}) {how}{said}")
    error.pid, error.returncode, error.output_tail = pid, code, tail
    return error


def attach(error: BaseException, note: str) -> None:
    """Add to an error that goes its own way: as a note, or in the log where there are none."""
    if sys.version_info >= (3, 11):
        error.add_note(note)
    else:
        log.warning("%s", note)

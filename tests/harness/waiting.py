"""Waiting for a condition, never for a length of time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

INTERVAL = 0.01


def wait_for(
    condition: Callable[[], T],
    timeout: float = 30.0,
    message: str | Callable[[], str] = "",
    *,
    interval: float = INTERVAL,
    error: type[AssertionError] = AssertionError,
) -> T:
    """Call ``condition`` until it is true.

    Args:
        condition: called again and again; an exception it raises ends the wait.
        timeout: seconds until it gives up.
        message: what was waited for; a callable is asked only when time is up.
        interval: seconds between two calls.
        error: what is raised when time is up.

    Returns:
        The first true value of ``condition``.

    Raises:
        AssertionError: time is up; says what was waited for.
    """
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline  # before the look: it may take long itself
        if value := condition():
            return value
        if late:
            what = message() if callable(message) else message
            raise error(f"waited {timeout:g} s in vain: {what or condition}")
        time.sleep(interval)

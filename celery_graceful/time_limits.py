"""A time limit around a call that may hang: a name server alone may take minutes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """What ``call`` returns or raises.

    A time limit on a socket bounds each single read; this bounds them all.

    Raises:
        TimeoutError: it took longer; it is left to itself, in a thread that ends with the process.
    """
    answers: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(call())
        except BaseException as exc:  # raised below, in the thread that waits
            errors.append(exc)

    thread = threading.Thread(target=run, name="graceful-time-limit", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return answers[0]

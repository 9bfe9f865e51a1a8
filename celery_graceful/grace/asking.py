"""Asking a worker's manager something, without waiting for it for long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Told(NamedTuple):
    """A grace period, and who said so."""

    #: Infinite where the manager never kills.
    seconds: float
    source: str


class Silent(Exception):
    """A manager is there, and does not tell."""


def within(seconds: float, call: Callable[[], T]) -> T:
    """What ``call`` returns or raises.

    A time limit on a socket bounds each single read; this bounds them all.

    Raises:
        Silent: it took longer; it is left to itself, in a thread that ends with the process.
    """
    answers: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(call())
        except BaseException as exc:
            errors.append(exc)

    thread = threading.Thread(target=run, name="graceful-asking", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise Silent(f"no answer within {seconds:.1f} s")
    return answers[0]

"""Real threads, also where gevent has put greenlets in their place, and what they share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

__all__ = ["native_sleep", "snapshot", "start_native_thread"]

T = TypeVar("T")

#: A copy of what other threads change succeeds soon.
_TRIES = 100


def _original(module: str, name: str) -> Any:
    """The unpatched function: a greenlet would starve while a task does not yield."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched(module):
        return monkey.get_original(module, name)
    return getattr(__import__(module), name)


def start_native_thread(target: Callable[[], None]) -> None:
    """Run ``target`` in a thread of the operating system that ends with the process."""
    gevent = sys.modules.get("gevent")
    if gevent is not None:
        _ = gevent.get_hub().resolver  # imported at first use: not by two threads at once
    _original("_thread", "start_new_thread")(target, ())


def native_sleep(seconds: float) -> None:
    """Sleep without giving way to other greenlets."""
    _original("time", "sleep")(seconds)


def snapshot(items: Iterable[T]) -> list[T]:
    """A copy of a set or mapping that another thread changes; empty if it changes all the time."""
    for _ in range(_TRIES):
        try:
            return list(items)
        except RuntimeError:  # changed size during iteration
            continue
    return []

"""Real threads, also where gevent has put greenlets in their place."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

__all__ = ["native_sleep", "start_native_thread"]


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

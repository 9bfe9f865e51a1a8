"""What gevent has put in the place of threads: what was there before, and where a greenlet runs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any


def original(module: str, name: str) -> Any:
    """The unpatched function: a greenlet would starve while a task does not yield."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched(module):
        return monkey.get_original(module, name)
    return getattr(__import__(module), name)


def threads_are_greenlets() -> bool:
    """Whether gevent has replaced Python's threads in this process."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def greenlet_here() -> Any:
    """The greenlet of gevent that calls this; ``None`` for other code."""
    gevent = sys.modules.get("gevent")
    if gevent is None or not isinstance(gevent.getcurrent(), gevent.Greenlet):
        return None
    return gevent.getcurrent()


def loop_here() -> Any:
    """The event loop of the hub that runs this greenlet; ``None`` for other code."""
    return None if greenlet_here() is None else sys.modules["gevent"].get_hub().loop


def run_in_own_thread(call: Callable[[], None], name: str, loop: Any = None) -> None:
    """Begin ``call`` in a thread of its own, and return.

    Args:
        call: must not raise.
        name: the thread's name.
        loop: what :func:`loop_here` returned where the task runs. Then it is called in a greenlet
            of that loop: elsewhere nothing that gevent has patched may be used.
    """
    if loop is None:
        threading.Thread(target=call, name=name, daemon=True).start()
    else:
        loop.run_callback_threadsafe(_spawn, call)


def _spawn(call: Callable[[], None]) -> None:
    sys.modules["gevent"].spawn(call)

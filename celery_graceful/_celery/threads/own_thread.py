"""Calling code of a task's in another thread than the task's own."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from celery import _state as _typed_state

state: Any = _typed_state


def gevent_loop() -> Any:
    """The event loop of the hub that runs this greenlet; ``None`` in other threads."""
    gevent = sys.modules.get("gevent")
    if gevent is None or not isinstance(gevent.getcurrent(), gevent.Greenlet):
        return None
    return gevent.get_hub().loop


def run_in_own_thread(call: Callable[[], None], name: str, loop: Any = None) -> None:
    """Begin ``call`` in a thread of its own, and return.

    Args:
        call: must not raise.
        name: the thread's name.
        loop: what :func:`gevent_loop` said where the task runs. Then it is called in a greenlet of
            that loop: elsewhere nothing that gevent has patched may be used.
    """
    if loop is None:
        threading.Thread(target=call, name=name, daemon=True).start()
    else:
        loop.run_callback_threadsafe(_spawn, call)


def _spawn(call: Callable[[], None]) -> None:
    sys.modules["gevent"].spawn(call)


def with_request(task: Any, request: Any, call: Callable[[], None]) -> None:
    """Call with ``task`` as the current task, and ``task.request`` as where it runs."""
    state._task_stack.push(task)
    task.request_stack.push(request)
    try:
        call()
    finally:
        task.request_stack.pop()
        state._task_stack.pop()

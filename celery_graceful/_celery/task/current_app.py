"""What is current in this process: its apps, the app of this thread, the task under way here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import _state as _typed_state
from celery.local import Proxy

_state: Any = _typed_state


def active_apps() -> list[Any]:
    """The Celery apps of this process."""
    return list(_state._get_active_apps())


def is_fallback(app: Any) -> bool:
    """Whether Celery made the app by itself, since something asked for one and there was none."""
    return app.main == "default" and not app.fixups


def on_finalize(call: Callable[[Any], Any]) -> None:
    """Call ``call(app)`` for each app that is finalized from now on."""
    _state.connect_on_app_finalize(call)


def current_app_if_any() -> Any:
    """The current app; ``None`` where nobody has made one: ``celery.current_app`` would make it."""
    return getattr(_state._tls, "current_app", None) or _state.default_app


def share(register: Callable[[Any], Any], find: Callable[[Any], Any]) -> Any:
    """Call ``register(app)`` for every app, now or when it is finalized, as ``@shared_task`` does.

    Returns:
        A proxy that is what ``find`` finds in the current app.
    """
    _state.connect_on_app_finalize(register)
    for app in active_apps():
        if app.finalized:
            with app._finalize_mutex:
                register(app)
    return Proxy(lambda: find(_state.get_current_app()))


def with_request(task: Any, request: Any, call: Callable[[], None]) -> None:
    """Call with ``task`` as the current task, and ``task.request`` as where it runs."""
    _state._task_stack.push(task)
    task.request_stack.push(request)
    try:
        call()
    finally:
        task.request_stack.pop()
        _state._task_stack.pop()

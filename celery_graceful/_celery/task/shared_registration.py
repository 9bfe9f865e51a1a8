"""Registering a task class with every app, as ``@shared_task`` does with functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import _state as _typed_state
from celery.local import Proxy

_state: Any = _typed_state


def active_apps() -> list[Any]:
    """The Celery apps of this process."""
    return list(_state._get_active_apps())


def share(register: Callable[[Any], Any], find: Callable[[Any], Any]) -> Any:
    """Call ``register(app)`` for every app, now or when it is finalized.

    Returns a proxy that is what ``find`` finds in the current app.
    """
    _state.connect_on_app_finalize(register)
    for app in active_apps():
        if app.finalized:
            with app._finalize_mutex:
                register(app)
    return Proxy(lambda: find(_state.get_current_app()))

"""Registering a task class with every app, as ``@shared_task`` does with functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import _state
from celery.local import Proxy

__all__ = ["share"]


def share(register: Callable[[Any], Any]) -> Any:
    """Call ``register(app)`` for every app, now or when it is finalized; returns a lazy task."""
    _state.connect_on_app_finalize(register)
    for app in _state._get_active_apps():
        if app.finalized:
            with app._finalize_mutex:
                register(app)
    return Proxy(lambda: register(_state.get_current_app()))

"""The app that is current in this thread, without making one."""

from __future__ import annotations

from typing import Any

from celery import _state as _typed_state

_state: Any = _typed_state


def current_app_if_any() -> Any:
    """The current app; ``None`` where nobody has made one: ``celery.current_app`` would make it."""
    return getattr(_state._tls, "current_app", None) or _state.default_app

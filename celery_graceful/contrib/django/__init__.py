"""The Django app: ``INSTALLED_APPS = [..., "celery_graceful.contrib.django"]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery_graceful.plugin import Graceful

    #: The plugin of the current Celery app: ``graceful.runs``, ``graceful.maintenance``.
    graceful: Graceful

__all__ = ["graceful"]


def __getattr__(name: str) -> Any:
    # Imported when used: Django imports this package before any app is ready.
    if name != "graceful":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from celery_graceful._celery.task.current_app import current_app_if_any
    from celery_graceful.plugin import Graceful

    app = current_app_if_any()
    if app is None:
        raise RuntimeError(
            "There is no Celery app in this process yet. Import the project's Celery app first, "
            "such as with `from .celery import app` in the __init__.py beside settings.py"
        )
    return Graceful(app)

"""``Graceful``: what a project creates beside its Celery app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery

__all__ = ["Graceful"]

#: By name, since only workers need what it imports.
STEP = "celery_graceful.worker.steps:GracefulStep"


class Graceful:
    """Makes the workers of an app stop gracefully, and its iterable tasks outlive them.

    ``Graceful(app)``, or ``Graceful()`` and later :meth:`init_app`. Reads no configuration and
    connects to nothing: settings are checked when a worker, beat or a command starts.
    """

    def __init__(self, app: Celery | None = None) -> None:
        self.app: Celery | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Celery) -> None:
        """Extend an app; doing it twice changes nothing."""
        from celery.signals import beat_init

        self.app = app
        app.steps["worker"].add(STEP)
        beat_init.connect(_check_beat, weak=False, dispatch_uid="graceful-check-beat")

    def __repr__(self) -> str:
        return f"<Graceful: {self.app.main if self.app is not None else 'no app'}>"


def _check_beat(sender: Any = None, **_: Any) -> None:
    from celery_graceful.runtime import runtime_of
    from celery_graceful.tasks import definitions

    app = getattr(sender, "app", None)
    if app is not None:
        runtime_of(app)
        definitions.check_all(app)

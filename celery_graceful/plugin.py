"""``Graceful``: what a project creates beside its Celery app."""

from __future__ import annotations

import logging
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

    from celery import Celery

    from celery_graceful.maintenance.api import Maintenance
    from celery_graceful.runs.api import Runs
    from celery_graceful.web.shell.wsgi import Application, Identify

logger = logging.getLogger("celery_graceful")

#: By name, since only workers need what they import.
STEP = "celery_graceful.worker.step:GracefulStep"
MAINTENANCE = "celery_graceful.worker.maintenance.steps:MaintenanceStep"
CHECKUP = "celery_graceful.worker.checkup:CheckupStep"
GATE = "celery_graceful.worker.maintenance.steps:GateStep"
SWEEP = "celery_graceful.worker.sweep:SweepStep"
WITHOUT = "celery_graceful.worker.maintenance.steps:WithoutPluginStep"
FORCE = "--maintenance-force"


class Graceful:
    """Makes the workers of an app stop gracefully, and its iterable tasks outlive them.

    ``Graceful(app)``, or ``Graceful()`` and later :meth:`init_app`. Reads no configuration and
    connects to nothing: settings are checked when a worker, beat or a command starts.
    """

    def __init__(self, app: Celery[Any] | None = None) -> None:
        self.app: Celery[Any] | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Celery[Any]) -> None:
        """Extend an app; doing it twice changes nothing."""
        from celery.signals import beat_init

        self.app = app
        app.steps["worker"].update((STEP, MAINTENANCE, CHECKUP, SWEEP, WITHOUT))
        app.steps["consumer"].add(GATE)
        _add_option(app)
        # Only ``celery`` itself has this loaded by now: for ``celery inspect graceful``.
        if "celery.worker.control" in sys.modules:
            from celery_graceful.worker.maintenance import remote

            remote.register()
        beat_init.connect(_check_beat, weak=False, dispatch_uid="graceful-check-beat")

    @cached_property
    def maintenance(self) -> Maintenance:
        """The maintenance mode: ``.down(...)``, ``.up(...)``, ``.status()``.

        Works on the app given by then; see :class:`~celery_graceful.maintenance.api.Maintenance`.
        """
        from celery_graceful.maintenance.api import Maintenance

        return Maintenance(self._given_app)

    @cached_property
    def runs(self) -> Runs:
        """The app's runs: ``.list(...)``, ``.get(id)``, ``.pause(id)``, ``.cancel(id)`` …

        Works on the app given by then; see :class:`~celery_graceful.runs.api.Runs`.
        """
        from celery_graceful.runs.api import Runs

        return Runs(self._given_app)

    def wsgi(
        self, visitor: Identify | None = None, *, hosts: Collection[str] | None = None
    ) -> Application:
        """The web screen as a WSGI application, to mount in another one.

        Args:
            visitor: is called with the environment of each request, and returns who sent it, a
                :class:`~celery_graceful.web.shell.wsgi.Visitor`: a user's name, and what they may
                do (``view``, ``operate``, ``start``, ``maintain``); ``None`` shows them nothing.
                Without it the screen is read-only, and for browsers on this machine alone.
            hosts: names that requests may be sent to; ``None``: the mounting application checks
                them, or without ``visitor`` only those of this machine.

        Raises:
            SettingsError: the packages of the extra ``web`` are not installed.
        """
        from celery_graceful.web.shell.wsgi import mounted

        return mounted(self._given_app(), visitor, hosts)

    def _given_app(self) -> Celery[Any]:
        if self.app is None:
            raise RuntimeError("Graceful() has no app yet: call init_app(app) first")
        return self.app

    def __repr__(self) -> str:
        return f"<Graceful: {self.app.main if self.app is not None else 'no app'}>"


def _add_option(app: Celery[Any]) -> None:
    import click

    worker: Any = sys.modules.get("celery.bin.worker")
    if worker is not None:  # without the one for projects in which Django adds the plugin
        worker.worker.params[:] = [p for p in worker.worker.params if FORCE not in p.opts]
    options = app.user_options["worker"]
    if not any(FORCE in option.opts for option in options if isinstance(option, click.Option)):
        options.add(click.Option((FORCE,), is_flag=True, help="Work on through maintenance."))


def _check_beat(sender: Any = None, **_: Any) -> None:
    from celery_graceful.errors import GracefulError
    from celery_graceful.maintenance.beat.schedule import install_gate
    from celery_graceful.runtime import runtime_of
    from celery_graceful.tasks import definitions

    app = getattr(sender, "app", None)
    if app is None:
        return
    try:
        # Sent in each process that beat runs in, embedded ones included.
        install_gate(sender.scheduler, runtime_of(app))
        faults = definitions.faults_in(app)
    except Exception as exc:
        # Beat goes on: what it sends is not ours to stop.
        ours = isinstance(exc, GracefulError)
        logger.error(
            "celery-graceful could not start in this beat, which sends all its entries, also during"
            " maintenance: %s",
            exc if ours else repr(exc),
            exc_info=None if ours else exc,
        )
        return
    for fault in faults:
        logger.error("%s. It is not sent before this is corrected", fault)

"""Bootsteps whose faults end no worker: iterable tasks wait, plain tasks run."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, ClassVar

from celery import bootsteps

from celery_graceful.errors import GracefulError
from celery_graceful.stop import flag as stop_flag

logger = logging.getLogger("celery_graceful.worker")

#: What Celery calls while a worker starts, and while it ends.
_STARTS = ("__init__", "create", "start", "register_with_event_loop")
_ENDS = ("close", "stop", "terminate")


def failure_of(worker: Any) -> str:
    """Why the plugin could not start on this worker; empty when it could.

    Args:
        worker: Celery's worker.
    """
    return str(getattr(worker, "graceful_failure", ""))


class ContainedStep(bootsteps.StartStopStep):
    """A step of the plugin. What it raises is logged, and Celery goes on without the plugin.

    Errors of the connection to the broker are left to Celery, which connects again.
    """

    #: Whether iterable tasks need it.
    vital: ClassVar[bool] = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in (*_STARTS, *_ENDS):
            method = cls.__dict__.get(name)
            if method is not None:
                setattr(cls, name, _contained(method, ends=name in _ENDS))


def _contained(method: Callable[..., Any], *, ends: bool) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, parent: Any, *args: Any, **options: Any) -> Any:
        worker = getattr(parent, "controller", parent)
        if failure_of(worker) and not hasattr(worker, "graceful_maintenance"):
            return None  # what this step relies on is not there
        try:
            return method(self, parent, *args, **options)
        except Exception as exc:
            if isinstance(exc, _of_connection(parent)):
                raise
            if ends or not self.vital:
                logger.exception("%s: %s failed", type(self).__name__, method.__name__)
            else:
                _fail(worker, f"{type(self).__name__}.{method.__name__}", exc)
            return None

    return call


def _of_connection(parent: Any) -> tuple[type[BaseException], ...]:
    errors = (*getattr(parent, "connection_errors", ()), *getattr(parent, "channel_errors", ()))
    return tuple(error for error in errors if isinstance(error, type))


def _fail(worker: Any, where: str, exc: Exception) -> None:
    ours = isinstance(exc, GracefulError)
    worker.graceful_failure = str(exc) if ours else f"{where} raised {exc!r:.500}"
    logger.error(
        "celery-graceful could not start on this worker: %s\nPlain tasks run. Iterable tasks wait"
        " in a queue; the worker does not follow the maintenance mode and stops as Celery alone"
        " would. %s, and restart the worker",
        worker.graceful_failure,
        "Correct this" if ours else "Report this with the traceback, or remove what causes it",
        exc_info=None if ours else exc,
    )
    maintenance = getattr(worker, "graceful_maintenance", None)
    if maintenance is None:
        stop_flag.withdraw()  # nobody would raise it
    else:
        maintenance.stop_runs()

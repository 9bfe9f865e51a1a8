"""The task under way in this thread: who it is, and what to call at its end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from celery import current_task
from celery.signals import task_postrun

from celery_graceful._celery.task.current_app import current_app_if_any
from celery_graceful.errors import NoRunError, SettingsError
from celery_graceful.runtime import runtime_of

log = logging.getLogger("celery_graceful.processes")

_T = TypeVar("_T")
#: The attribute of a request that holds what is to be called at its end.
_EXITS = "graceful_exits"


def task_now() -> tuple[str, str]:
    """Its name and id; a dash for each where there is none."""
    request = current_task.request if current_task else None
    if request is None or request.id is None:
        return "-", "-"
    return str(current_task.name), str(request.id)


def app_now() -> str:
    """The namespace of the task's app, or else of the current one; empty where there is none."""
    app = current_task.app if current_task else current_app_if_any()
    if app is None:
        return ""
    try:
        return runtime_of(app).namespace
    except SettingsError:  # a process may be started in any app
        return str(app.main or "")


def at_task_exit(function: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Callable[..., _T]:
    """Call ``function`` once, when the task under way ends, however it ends.

    On success, an exception, a retry, a soft time limit, ``revoke(terminate=True)`` and a stop of
    the worker; what was registered last is called first. It runs in the task's own process, after
    its outcome was stored. An exception of its own is logged and stops nothing else.
    After SIGKILL no Python runs any more; a hard time limit leaves it 0.1 seconds. On threads and
    gevent a worker that is about to be killed ends with its tasks under way: nothing runs then
    either. What has to end then too is a matter for :func:`background_process`.

    Args:
        function: what to call; returned, so that this can be a decorator.
        *args: its arguments.
        **kwargs: its keyword arguments.

    Raises:
        NoRunError: no task is under way, or it was called like a function, and nothing is notified
            of its end. ``task.apply()`` runs one here.
    """
    request = current_task.request if current_task else None
    if request is None or request.called_directly:
        raise NoRunError(
            "at_task_exit() was called while no task is under way in this thread, or in one that "
            "was called like a function: call it in a task that a worker or task.apply() runs"
        )
    exits: list[Callable[[], object]] | None = getattr(request, _EXITS, None)
    if exits is None:
        exits = []
        setattr(request, _EXITS, exits)
        task_postrun.connect(call_exits, weak=False, dispatch_uid="graceful-at-task-exit")
    exits.append(partial(function, *args, **kwargs))
    return function


def call_exits(task: Any = None, **_: Any) -> None:
    """A receiver of ``task_postrun``: call what is left to be called, the last first."""
    exits: list[Callable[[], object]] = getattr(task.request, _EXITS, None) or []
    interrupted: BaseException | None = None
    while exits:
        function = exits.pop()
        try:
            function()
        except Exception:
            log.exception("At the end of %s[%s]: %r failed", task.name, task.request.id, function)
        except BaseException as error:  # such as SystemExit: the rest is called first
            interrupted = error
    if interrupted is not None:
        raise interrupted

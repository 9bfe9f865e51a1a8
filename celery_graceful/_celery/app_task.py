"""Building task classes on their app's own ``Task``.

Celery gives ``app.Task`` (Django's ``DjangoTask``, Flask's ``task_cls``, ``app.Task = …``) to a
task without a ``base`` only. A task whose base is a class of this package would get none of it, so
each registered task gets a class of its own, below its written class and below ``app.Task``.
"""

from __future__ import annotations

import logging
import types
from typing import Any

from celery.app.autoretry import add_autoretry_behaviour

__all__ = ["FAULT", "build_on_app_task", "rebuild_registered", "rebuild_tasks"]

logger = logging.getLogger("celery_graceful.tasks")

#: In a class that was built: the class as its author wrote it.
_WRITTEN = "graceful_written_class"
#: In a class that could not be built: why.
FAULT = "app_task_fault"


def build_on_app_task(cls: Any, app: Any) -> Any:
    """Return a subclass of ``cls`` and of ``app.Task``; ``cls`` itself if it is one already.

    Args:
        cls: the class of a task, or one that was built for another app or another ``app.Task``.
        app: the Celery app that the task belongs to.
    """
    base = app.Task
    if issubclass(cls, base):
        return cls
    written = cls.__dict__.get(_WRITTEN, cls)
    namespace = {
        "__module__": written.__module__,
        "__qualname__": written.__qualname__,
        "__doc__": written.__doc__,
        "__bound__": False,  # the written class may be bound to another app
        _WRITTEN: written,
    }
    try:
        return types.new_class(written.__name__, (written, base), exec_body=_fill(namespace))
    except TypeError as exc:  # base classes in conflict: an error of this one task
        fault = (
            f"it cannot be built on the Task class of its app, {_name(base)}: {exc}. Derive it"
            " from that class yourself, in an order that Python accepts"
        )
        logger.error("%s: %s", _name(written), fault)
        setattr(cls, FAULT, fault)
        return cls


def rebuild_registered(cls: Any, app: Any) -> Any:
    """Build the class of the tasks that an app has just registered; returns the new class.

    ``app.register_task`` creates the instance before anyone knows the app, so that its class is
    changed afterwards.
    """
    if issubclass(cls, app.Task):
        return cls
    tasks = [task for task in app._tasks.values() if type(task) is cls]
    built = build_on_app_task(cls, app) if tasks else cls
    if built is not cls:
        for task in tasks:
            _change_class(task, cls, built, app)
    return built


def rebuild_tasks(app: Any, kind: Any) -> None:
    """Rebuild the registered tasks of a kind for which ``app.Task`` was replaced since."""
    for task in list(app.tasks.values()):
        # One that Celery has made a tracer for may be running.
        if isinstance(task, kind) and not isinstance(task, app.Task) and task.__trace__ is None:
            task.bind(app)


def _change_class(task: Any, cls: Any, built: Any, app: Any) -> None:
    try:
        task.__class__ = built
    except TypeError:  # ``__slots__``: another layout
        again = built()
        vars(again).update({k: v for k, v in vars(task).items() if k not in ("run", "_orig_run")})
        task = app._tasks[task.name] = again
    else:
        _initialize_added(task, cls)
    add_autoretry_behaviour(task)  # with the options of ``app.Task``, if it has not been added


def _initialize_added(task: Any, cls: Any) -> None:
    """Call the ``__init__`` of the classes that were added; they call each other by ``super``."""
    classes: tuple[Any, ...] = type(task).__mro__
    for added in classes:
        if added not in cls.__mro__ and "__init__" in added.__dict__:
            added.__init__(task)
            return


def _fill(namespace: dict[str, Any]) -> Any:
    return lambda target: target.update(namespace)


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"

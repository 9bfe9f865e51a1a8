"""Building task classes on their app's own ``Task``.

Celery gives ``app.Task`` (Django's ``DjangoTask``, Flask's ``task_cls``, ``app.Task = …``) to a
task without a ``base`` only. A task whose base is a class of this package would get none of it, so
each registered task gets a class of its own, below its written class and below ``app.Task``.
"""

from __future__ import annotations

import logging
import types
from typing import Any
from weakref import WeakKeyDictionary, ref

from celery import Task
from celery.app.autoretry import add_autoretry_behaviour

logger = logging.getLogger("celery_graceful.tasks")

#: In a class that was built: the class as its author wrote it.
_WRITTEN = "graceful_written_class"
#: In a class that could not be built: why.
FAULT = "app_task_fault"

#: By written class: the class that was built when it was registered last.
_registered: WeakKeyDictionary[type, ref[type]] = WeakKeyDictionary()


class _Built(Task):  # type: ignore[type-arg]  # a task: ``__class__`` can be assigned then
    """First base of the classes that are built.

    The ``__init_subclass__`` of a project has seen the written class and is not called again.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        written = cls.__dict__.get(_WRITTEN)
        if written is None:  # a class that a project derives from a built one
            super().__init_subclass__(**options)
            return
        for added in cls.__mro__:
            own = added.__dict__.get("__init_subclass__")
            if own is not None and added is not _Built and added not in written.__mro__:
                own.__get__(None, cls)()  # of ``app.Task``, as for each of its tasks
                return


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
        return types.new_class(
            written.__name__, (_Built, written, base), exec_body=_fill(namespace)
        )
    except Exception as exc:  # base classes in conflict, a hook of theirs: an error of this task
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
        _registered[built.__dict__[_WRITTEN]] = ref(built)
        for task in tasks:
            _change_class(task, cls, built, app)
    return built


def registered_class(cls: Any) -> Any:
    """The class that further instances of ``cls`` are made of: the one bound to an app, if any.

    Celery binds a registered class itself, so that ``SomeTask()()`` works afterwards.
    """
    known = _registered.get(cls)
    return cls if known is None else known() or cls


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

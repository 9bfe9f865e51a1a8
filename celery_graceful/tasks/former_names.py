"""Tasks that were renamed: messages and runs under their former names are still theirs.

A worker has such a task once more under each of its former names. A run keeps the name under which
it began, which is part of its key, so that its record, its messages and its rows stay where they
are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from celery.signals import worker_process_init

from celery_graceful._celery.task.current_app import current_app_if_any
from celery_graceful._celery.task.tracing import make_tracer

logger = logging.getLogger("celery_graceful.tasks")

#: On a task that stands for another one: that one's name.
NOW = "graceful_renamed_to"


def register(app: Any) -> list[Any]:
    """Register the app's tasks under their former names; those in conflict are left out.

    Called when all modules with tasks are imported, so that no task finds its own name taken.

    Returns:
        The tasks that were not there.
    """
    added = []
    for name, task in sorted(app.tasks.items()):
        for former in _names(task):
            if former in app.tasks or _faults_of(app, name, former):
                continue
            try:
                added.append(_registered(app, task, former))
            except Exception:  # of a hook of the project's own; its other tasks are not affected
                logger.exception("%s cannot be registered under its former name %s", name, former)
    return added


def renamed(app: Any) -> dict[str, list[str]]:
    """The former names under which tasks are registered, by the names that they have now."""
    found: dict[str, list[str]] = {}
    for name, task in sorted(app.tasks.items()):
        if hasattr(task, NOW):
            found.setdefault(getattr(task, NOW), []).append(name)
    return found


@worker_process_init.connect(weak=False, dispatch_uid="graceful-former-names")
def _register_in_child(sender: Any = None, **_: Any) -> None:
    """A pool child that was spawned has imported the tasks by itself; a forked one has them all."""
    app = current_app_if_any()
    for task in [] if app is None else register(app):
        make_tracer(task, sender)


def faults_in(app: Any) -> list[str]:
    """What is wrong with the former names of the app's tasks."""
    faults = []
    for name, task in sorted(app.tasks.items()):
        given = getattr(task, "former_names", ())
        if not isinstance(given, (list, tuple)) or not all(
            isinstance(each, str) and each for each in given
        ):
            faults.append(
                f"{name}: former_names = {given!r:.200} is wrong. Expected: a list of names."
                ' Example: ["shop.import_orders"]'
            )
        for former in _names(task):
            faults += _faults_of(app, name, former)
    return faults


def _names(task: Any) -> list[str]:
    given = getattr(task, "former_names", ())
    if not isinstance(given, (list, tuple)) or hasattr(task, NOW):
        return []
    return [each for each in dict.fromkeys(given) if isinstance(each, str) and each]


def _faults_of(app: Any, name: str, former: str) -> list[str]:
    if former == name:
        return [f"{name}: former_names has the task's own name; leave it out"]
    rival = app.tasks.get(former)
    if rival is not None and not hasattr(rival, NOW):
        return [
            f"{name}: the former name {former!r} is that of another task of this app, which gets"
            " its messages; rename that task, or leave the name out"
        ]
    return [
        f"{name}: the former name {former!r} is one of {other} too; leave it out of one of them"
        for other in _others_with(app, name, former)
    ]


def _others_with(app: Any, name: str, former: str) -> Iterator[str]:
    for other, task in sorted(app.tasks.items()):
        if other != name and former in _names(task):
            yield other


def _registered(app: Any, task: Any, former: str) -> Any:
    cls = type(task)
    alias = type(
        cls.__name__,
        (cls,),
        {
            "__module__": cls.__module__,
            "__qualname__": cls.__qualname__,
            "__doc__": cls.__doc__,
            "name": former,
            "former_names": (),
            NOW: task.name,
        },
    )
    logger.debug("%s accepts messages and runs of %s, its former name", task.name, former)
    return app.register_task(alias())

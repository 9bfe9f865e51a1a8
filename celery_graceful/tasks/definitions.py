"""Faults in how tasks are written: collected when they are registered, raised where it helps.

An error at import would break web processes, and every healthy task of the app with them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from celery_graceful._celery.task.app_task import FAULT
from celery_graceful.atomic import Atomic
from celery_graceful.errors import DefinitionError
from celery_graceful.execution.journal.code_changes import takes
from celery_graceful.execution.quarantine import allowance
from celery_graceful.execution.run_task import RunTask
from celery_graceful.runs.oneoff.dry_runs import dry_run_faults
from celery_graceful.runtime import runtime_of
from celery_graceful.tasks import former_names
from celery_graceful.text.strict_json import MOST


def check_all(app: Any) -> None:
    """Raise one error that names every faulty task of the app, with file and line.

    Raises:
        DefinitionError: at least one iterable task is not written as it has to be.
    """
    faults = faults_in(app)
    if faults:
        raise DefinitionError("\n".join(faults))


def faults_in(app: Any) -> list[str]:
    """What is wrong with the app's tasks, with file and line."""
    tasks = list(app.tasks.values())
    faults = [fault for task in tasks for fault in getattr(task, "faults", ())]
    faults += former_names.faults_in(app)
    return faults + [
        f
        for task in tasks
        if getattr(task, "maintenance_exempt", False)
        for f in _exempt_fault(task)
    ]


def faulty(app: Any) -> list[str]:
    """The names of the app's iterable tasks that cannot run as they are written."""
    return [name for name, task in app.tasks.items() if getattr(task, "faults", ())]


def _exempt_fault(task: Any) -> list[str]:
    try:
        return _exempt(task)
    except Exception as exc:  # of a router of the project's own
        return [f"{task.name}: maintenance_exempt = True, and its queue is not known: {exc!r:.300}"]


def _exempt(task: Any) -> list[str]:
    """What is wrong with a task that is to run during maintenance: its queue is to be exempt."""
    app = task.app
    queue = getattr(task, "queue", None)
    if not queue:
        # ``route`` would make the queue, and a worker of Celery 5.5 or 5.6 consume it.
        route = app.amqp.router.lookup_route(task.name, (), {}, {}, task) or {}
        queue = route.get("queue") if isinstance(route, Mapping) else route
    name = getattr(queue, "name", queue) or app.conf.task_default_queue
    exempt = runtime_of(app).settings.maintenance_exempt_queues
    if name in exempt:
        return []
    return [
        f"{task.name}: maintenance_exempt = True, but it is routed to the queue {name!r}, and"
        f" graceful_maintenance_exempt_queues is {sorted(exempt)}; route it to one of these, or"
        " add its queue there"
    ]


def faults_of(cls: type[RunTask], body: Callable[..., Any] | None) -> tuple[str, ...]:
    """What is wrong with a task class; ``body`` is its generator, if it has one.

    Never raises: that would keep the app from being used at all.
    """
    try:
        return _faults_of(cls, body)
    except Exception as exc:  # whatever values an option has, whatever a decorator has made of it
        where = f"{cls.__module__}.{cls.__qualname__}"
        return (f"{cls.name or where} ({where}): its definition cannot be checked: {exc!r:.300}",)


def _faults_of(cls: type[RunTask], body: Callable[..., Any] | None) -> tuple[str, ...]:
    found = list(_body_faults(body) if body is not None else _class_faults(cls))
    found += _option_faults(cls)
    found += filter(None, [cls.__dict__.get(FAULT)])
    if body is not None:
        found += [
            f"{name} is for classes with each_iteration: a generator hides which item is next"
            for name in ("track_in_doubt", "max_failed_items")
            if getattr(cls, name)
        ]
    where = _where(body if body is not None else cls)
    return tuple(f"{cls.name or cls.__name__} ({where}): {fault}" for fault in found)


def _body_faults(body: Callable[..., Any]) -> list[str]:
    inner = inspect.unwrap(body)
    faults = []
    if inspect.isasyncgenfunction(inner) or inspect.iscoroutinefunction(inner):
        faults.append("an async function cannot be iterated here; write a plain generator")
    elif inspect.isfunction(inner) and not inspect.isgeneratorfunction(inner):
        faults.append(
            "the function has no yield; yield the cursor after each item, or use a plain task"
        )
    try:
        parameters = inspect.signature(inner).parameters
    except (TypeError, ValueError):
        return faults
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    cursor = parameters.get("cursor")
    if cursor is None and not takes_all:
        faults.append("it takes no cursor; add the argument `*, cursor=None` and resume after it")
    elif cursor is not None and cursor.default is cursor.empty:
        faults.append("`cursor` needs a default (None): it is not passed at the start of a run")
    elif cursor is not None and cursor.kind is cursor.POSITIONAL_ONLY:
        faults.append("`cursor` is passed by name; write `*, cursor=None`")
    return faults


def _class_faults(cls: type[RunTask]) -> list[str]:
    faults = []
    for name, example in (
        ("build_enumerator", "def build_enumerator(self, …, *, cursor)"),
        ("each_iteration", "def each_iteration(self, item, …)"),
    ):
        if getattr(cls, name) is getattr(RunTask, name):
            faults.append(f"it defines no {name}; add `{example}`, or write it as a generator")
    if faults:
        return faults
    build, each = inspect.unwrap(cls.build_enumerator), inspect.unwrap(cls.each_iteration)
    if not _takes_cursor(build):
        faults.append(
            "build_enumerator takes no cursor by name; add `*, cursor` and resume after it"
        )
    if inspect.iscoroutinefunction(build) or inspect.isasyncgenfunction(build):
        faults.append("build_enumerator is async; return or yield (item, cursor) pairs plainly")
    if inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each):
        faults.append("each_iteration is async and would never run; write a plain method")
    elif inspect.isgeneratorfunction(each):
        faults.append("each_iteration has a yield and would never run; write a plain method")
    return [*faults, *dry_run_faults(build, each)]


def _takes_cursor(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True
    cursor = parameters.get("cursor")
    if cursor is not None:
        return cursor.kind is not cursor.POSITIONAL_ONLY
    return any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _option_faults(cls: type[RunTask]) -> list[str]:
    from celery_graceful.settings import OPTIONS, option_problems

    faults = list(option_problems({name: getattr(cls, name) for name in OPTIONS}))
    faults += _atomic_faults(cls.atomic)
    faults += _version_faults(cls)
    try:
        allowance(cls.max_failed_items)
    except ValueError as exc:
        faults.append(str(exc))
    for name in ("acks_late", "reject_on_worker_lost"):
        if getattr(cls, name) is False:
            faults.append(f"{name} is fixed to True for iterable tasks; leave it out")
    return faults


def _atomic_faults(atomic: object) -> list[str]:
    if atomic is None:
        return []
    if not isinstance(atomic, Atomic):
        return [f"atomic = {atomic!r:.200} is wrong; write atomic = Atomic.sqlalchemy(Session)"]
    return atomic.problems()


def _version_faults(cls: type[RunTask]) -> list[str]:
    faults = []
    version, migrate = cls.cursor_version, cls.migrate_cursor
    if type(version) is not int or not 0 < version <= MOST:
        faults.append(
            f"cursor_version = {version!r:.100} is wrong. Expected: a whole number from 1 on."
            " Example: 2"
        )
    if migrate is not None and not (callable(migrate) and (takes(migrate, 3) or takes(migrate, 4))):
        faults.append(
            f"migrate_cursor = {migrate!r:.100} is wrong. Expected: a method (self, cursor, carry,"
            " version), or in a decorator a function (cursor, carry, version), that returns the"
            " cursor"
        )
    return faults


def _where(thing: Any) -> str:
    try:
        inner = inspect.unwrap(thing)
        return f"{inspect.getsourcefile(inner)}:{inspect.getsourcelines(inner)[1]}"
    except (OSError, TypeError, ValueError, SyntaxError, IndexError):  # of an edited file, say
        return f"module {getattr(thing, '__module__', '?')}"

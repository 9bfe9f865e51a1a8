"""System checks: what ``manage.py check`` finds. They are warnings; none stops a command.

The project is examined by the command ``check`` only, or where a program calls Django's checks
itself: other commands do not load the Celery configuration or import tasks because of it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.core import checks

from celery_graceful.contrib.django.plugged_apps import is_plugged, project_apps

logger = logging.getLogger("celery_graceful")

#: Programs whose first argument is a command.
_PROGRAMS = ("manage.py", "django-admin", "django-admin.py", "__main__.py", "celery")
#: Set while the project is examined: importing its tasks makes Celery run all checks again.
_examining = False


def register() -> None:
    """Have Django run these checks."""
    checks.register(check_project, "celery")
    checks.register(check_tables, checks.Tags.database)


def check_project(app_configs: Any = None, **_: Any) -> list[Any]:
    """The project's Celery apps, their settings, their tasks, their store."""
    global _examining
    if _examining or not _is_asked_for():
        return []
    _examining = True
    try:
        return list(_found_in_project())
    finally:
        _examining = False


def check_tables(app_configs: Any = None, databases: Any = None, **_: Any) -> list[Any]:
    """The tables of a ``django://`` store, in the databases that ``--database`` names."""
    if not databases or not _is_asked_for():
        return []
    from django.db import connections

    from celery_graceful.contrib.django.create_tables import missing_tables

    found = []
    for app in project_apps():
        alias = _alias(app)
        missing = missing_tables(connections[alias]) if alias in databases else []
        if missing:
            found.append(
                checks.Warning(
                    f"The store of the Celery app {app.main} lacks {', '.join(missing)} in the"
                    f" database {alias!r}.",
                    hint=f"python manage.py migrate celery_graceful --database {alias}",
                    id="celery_graceful.W005",
                )
            )
    return found


def _is_asked_for() -> bool:
    program = Path(sys.argv[0] or "-").name
    return program not in _PROGRAMS or sys.argv[1:2] == ["check"]


def _found_in_project() -> Iterator[Any]:
    apps = project_apps()
    if not apps:
        yield checks.Warning(
            "No Celery app is made when Django starts, so tasks cannot be sent from here.",
            hint="Write `from .celery import app as celery_app` in the __init__.py beside"
            " settings.py: https://docs.celeryq.dev/en/stable/django/",
            id="celery_graceful.W001",
        )
    for app in apps:
        yield from _found_in(app)


def _found_in(app: Any) -> Iterator[Any]:
    if not is_plugged(app):
        yield checks.Warning(
            f"The Celery app {app.main} has no Graceful(app), though another one has: its workers"
            " do not stop gracefully, and runs of its iterable tasks are not rescued.",
            hint="Write graceful = Graceful(app) where this app is made, or leave it out"
            " everywhere: celery_graceful.contrib.django adds it then.",
            id="celery_graceful.W002",
        )
    problems = _problems(app)
    for problem in problems:
        yield checks.Warning(
            f"{problem}.",
            hint="docs/reference/settings.md lists all settings. Until this is corrected, workers"
            " run plain tasks only.",
            id="celery_graceful.W003",
        )
    if not problems:
        yield from _of_tasks_and_store(app)


def _of_tasks_and_store(app: Any) -> Iterator[Any]:
    from celery_graceful.doctor.examine import examine
    from celery_graceful.doctor.facts import Kind
    from celery_graceful.doctor.facts.app_configuration import app_facts
    from celery_graceful.doctor.finding import Severity

    try:
        app.loader.import_default_modules()
        app.finalize(auto=True)
    except Exception as exc:  # whatever the project's modules raise
        logger.debug("The tasks of %s cannot be imported", app.main, exc_info=exc)
        yield checks.Warning(
            f"The tasks of the Celery app {app.main} cannot be imported: {exc!r}",
            hint=f"celery -A {app.main} report  # shows the traceback",
            id="celery_graceful.W004",
        )
        return
    kinds: dict[Severity, Callable[..., Any]] = {
        Severity.ERROR: checks.Warning,
        Severity.WARNING: checks.Warning,
        Severity.NOTE: checks.Info,
    }
    facts = app_facts(app)
    for finding in examine(facts).findings:
        yield kinds[finding.severity](
            f"{finding.what.rstrip('.')}. {finding.why}",
            hint=finding.fix,
            obj=finding.subject or None,
            id=f"celery_graceful.{finding.id}",
        )
    if facts.store in ("sqlite", "memory") and facts.of_kind(Kind.ITERABLE):
        yield _one_host(facts.store_url)
    if facts.store == "sqlite":
        yield from _locked_out(app, facts.store_path, facts.store_url)


def _locked_out(app: Any, store_file: str, store: str) -> Iterator[Any]:
    """Tasks whose batches lock the file that the store has to write to meanwhile."""
    from django.db import connections

    from celery_graceful.atomic.django_database import DjangoDatabase
    from celery_graceful.execution.run_task import RunTask

    for name, task in sorted(app.tasks.items()):
        if not (isinstance(task, RunTask) and task.max_failed_items and task.atomic):
            continue
        database = getattr(task.atomic, "database", None)
        alias = database.using if isinstance(database, DjangoDatabase) else None
        if alias not in connections or connections[alias].vendor != "sqlite":
            continue
        file = str(connections[alias].settings_dict["NAME"])
        if os.path.realpath(file) == os.path.realpath(store_file):
            yield checks.Warning(
                f"The items of {name} and the store of runs, {store}, are in the same SQLite file:"
                " with max_failed_items the store is written while a batch has locked it.",
                hint="Set CELERY_GRACEFUL_STORE to another file, such as sqlite:///runs.db, or to a"
                " Redis.",
                obj=name,
                id="celery_graceful.W006",
            )


def _one_host(store: str) -> Any:
    return checks.Info(
        f"Runs are kept in {store}, which serves the workers of one host at most.",
        hint="For workers on several hosts set CELERY_GRACEFUL_STORE to a Redis, or to django://"
        " and the alias of a database server.",
        id="celery_graceful.I001",
    )


def _problems(app: Any) -> list[str]:
    """What is wrong with its settings. Imported here: every command of Django loads this module."""
    from celery_graceful import settings

    return settings.problems(app.conf)


def _alias(app: Any) -> str:
    """The alias of the app's store; empty where it is no database of Django's."""
    from celery_graceful.runtime import runtime_of

    if _problems(app):
        return ""
    url: str = runtime_of(app).settings.store or ""
    scheme, _, rest = url.partition("://")
    return (rest.strip("/") or "default") if scheme.lower() == "django" else ""

"""What ``manage.py check`` says of a project."""

from __future__ import annotations

import re

import pytest

from .project import CELERY, Project

TASKS = """
from celery_graceful import iterable_task
from django.db import transaction

@iterable_task
def unsafe(*, cursor=0):
    with transaction.atomic():
        yield 1

@iterable_task
def faulty():
    yield 1
"""


ONE_FILE = """
from celery_graceful import IterableTask, iterable_task, sources
from celery_graceful.atomic import Atomic

class Atomically(IterableTask):
    abstract = True
    atomic = Atomic.django()

    def build_enumerator(self, *, cursor):
        return sources.numbers(0, 9, cursor=cursor)

    def each_iteration(self, number):
        pass

@iterable_task
class LocksNobodyOut(Atomically):
    name = "orders.locks_nobody_out"

@iterable_task
class LocksTheStoreOut(Atomically):
    name = "orders.locks_the_store_out"
    max_failed_items = 3
"""


def ids(printed: str) -> list[str]:
    return re.findall(r"\(celery_graceful\.(\w+)\)", printed)


@pytest.mark.matrix
def test_no_celery_app(project: Project) -> None:
    project.write("webshop/__init__.py", "")
    printed = project.run("manage.py", "check")
    assert ids(printed) == ["W001"]
    assert "HINT: Write `from .celery import app as celery_app`" in printed


def test_settings_and_an_app_without_the_plugin(project: Project) -> None:
    more = "\nfrom celery_graceful import Graceful\nother = Celery('other')\nGraceful(app)\n"
    project.write("webshop/celery.py", CELERY + more)
    project.set(CELERY_GRACEFUL_LEASE_TTL="soon", CELERY_GRACEFULL_STORE="memory://")
    project.set(GRACEFUL_MAX_CRASHES=1)
    printed = project.run("manage.py", "check", "--fail-level", "WARNING", fails=True)
    assert sorted(ids(printed)) == ["W002", "W003", "W003", "W003"]
    assert "CELERY_GRACEFUL_LEASE_TTL = 'soon' is wrong" in printed
    assert "did you mean CELERY_GRACEFUL_STORE?" in printed
    assert "GRACEFUL_MAX_CRASHES is not read when written so; write CELERY_GRACEFUL_MAX" in printed


def test_tasks_and_the_store(project: Project) -> None:
    project.tasks(TASKS)
    project.set(CELERY_GRACEFUL_STORE="django://default")
    printed = project.run("manage.py", "check", "--database", "default")
    assert sorted(ids(printed)) == ["GD704", "GD705", "I001", "W005"]
    assert "migrate celery_graceful --database default" in printed
    assert f"{project.folder}/orders/tasks.py:8" in printed
    # Another command says nothing of it, and loads no tasks.
    project.write("orders/tasks.py", "raise LookupError('of the project')")
    assert ids(project.run("manage.py", "migrate")) == []
    assert ids(project.run("manage.py", "check", "--database", "default")) == ["W004"]


def test_items_and_the_store_in_one_sqlite_file(project: Project) -> None:
    project.tasks(ONE_FILE)
    for store, found in (
        (f"sqlite:///{project.folder}/db.sqlite3", ["I001", "W006"]),
        (f"sqlite:///{project.folder}/runs.db", ["I001"]),
    ):
        project.set(CELERY_GRACEFUL_STORE=store)
        printed = project.run("manage.py", "check")
        assert sorted(ids(printed)) == found
        assert ("The items of orders.locks_the_store_out and" in printed) == (len(found) > 1)
        assert "locks_nobody_out" not in printed


def test_migrations(project: Project) -> None:
    printed = project.python(
        """
        from django.core.management import call_command
        for command in (
            ["makemigrations", "--check"],
            ["sqlmigrate", "celery_graceful", "0001"],
            ["migrate"],
            ["sqlmigrate", "celery_graceful", "0001", "--backwards"],
            ["migrate", "celery_graceful", "zero"],
            ["check", "--database", "default"],
        ):
            call_command(*command)
        """
    )
    assert "No changes detected" in printed
    assert printed.count("CREATE INDEX") == 7
    assert printed.count("DROP TABLE") == 5
    assert "Unapplying celery_graceful.0001_initial... OK" in printed
    assert "no issues" in printed  # the store is not one of Django's

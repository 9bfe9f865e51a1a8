"""A Django project with one line in ``INSTALLED_APPS``: its worker stops, and another continues."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.harness.django_aliases import settings_of
from tests.harness.waiting import wait_for
from tests.harness.worker import Worker
from tests.integration.contrib.project import Project

TASKS = """
import time

from celery_graceful import iterable_task
from django.db import connection

@iterable_task
def fill(count, *, cursor=-1):
    for number in range(cursor + 1, count):
        with connection.cursor() as cursor_:
            cursor_.execute("INSERT INTO filled VALUES (%s)", [number])
        time.sleep(0.01)
        yield number
    return count
"""
COUNT = 300


@pytest.mark.postgres
@pytest.mark.matrix
def test_a_run_in_djangos_database(tmp_path: Path, postgres_url: str, broker_url: str) -> None:
    project = Project(tmp_path)
    project.set(
        DATABASES={"default": settings_of(postgres_url)},
        CELERY_BROKER_URL=broker_url,
        CELERY_GRACEFUL_STORE="django://default",
    )
    project.tasks(TASKS)
    project.run("manage.py", "migrate")
    project.python(
        f"""
        from django.db import connection
        connection.cursor().execute("CREATE TABLE filled (number int)")
        from orders.tasks import fill
        fill.delay({COUNT})
        """
    )
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as database:

        def rows() -> int:
            found = database.execute("SELECT count(*) FROM filled").fetchone()
            return found[0] if found else 0

        def state() -> str:
            found = database.execute("SELECT state FROM graceful_runs").fetchone()
            return found[0] if found else ""

        args, env = ("-c", "1"), {**project.env, "DJANGO_SETTINGS_MODULE": "webshop.settings"}
        with Worker("webshop", args=args, env=env, cwd=project.folder, cold=True) as worker:
            wait_for(lambda: rows() > 20, 60, "some rows")
            worker.signal()
            worker.wait()
        assert 20 < rows() < COUNT
        forced = (*args, "--maintenance-force")
        with Worker("webshop", args=forced, env=env, cwd=project.folder, cold=True) as worker:
            wait_for(lambda: state() == "ended", 60, lambda: f"the end: {state()}, {rows()}")
            worker.signal()
            worker.wait()
            assert "Started with --maintenance-force" in worker.log()
        found = database.execute("SELECT number FROM filled ORDER BY number").fetchall()
        assert [number for (number,) in found] == list(range(COUNT))

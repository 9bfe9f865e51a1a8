"""The row in the task's database, and the record in the store."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from celery_graceful.errors import TransactionError

from .project import (
    MakeProject,
    Project,
    check_exact,
    inside_a_worker,
    interrupted_run,
    new_id,
)

# -- the row and the record ------------------------------------------------------------------------


def test_a_store_that_has_lost_the_run(make_project: MakeProject) -> None:
    project = make_project()
    run = interrupted_run(project)
    other = make_project_again(project)
    assert other.record(run) is None
    with inside_a_worker():
        other.resume(run, 8, "stops once")
    check_exact(other)
    other.close()


def make_project_again(project: Project) -> Project:
    """The same project with an empty store."""
    url = f"django+{project.url}" if project.alias else project.url
    return Project(url, f"memory://{new_id()}", project.folder)


def test_a_used_id_starts_anew(project: Project) -> None:
    run = new_id()
    project.deliver(run, 8)
    project.deliver(run, 8)
    assert project.effects("item") == dict.fromkeys(range(8), 2)
    assert project.effects("start").total() == 2


def test_the_table_is_made_by_many_at_once(make_project: MakeProject) -> None:
    project = make_project()
    others = [make_project_again(project) for _ in range(6)]
    threads = [threading.Thread(target=other.deliver, args=(new_id(), 8)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert project.effects("item") == dict.fromkeys(range(8), 6)
    for other in others:
        other.close()


@pytest.mark.postgres
def test_a_user_who_may_make_no_table(postgres_url: str, tmp_path: Path) -> None:
    from celery_graceful.atomic.alchemy_table import metadata

    owner = Project(postgres_url, f"memory://{new_id()}", tmp_path)
    owner.create()
    with owner.engine.begin() as connection:
        for statement in (
            "DROP ROLE IF EXISTS worker",
            "CREATE ROLE worker LOGIN",
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO worker",
            "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO worker",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        ):
            connection.execute(text(statement))
    url = owner.engine.url.set(username="worker").render_as_string(hide_password=False)
    project = Project(url, f"memory://{new_id()}", tmp_path)
    with inside_a_worker():
        done = project.deliver(new_id(), 8)
        assert isinstance(done.info.retval, TransactionError)
        assert "graceful_checkpoints" in str(done.info.retval)
        assert "migration" in str(done.info.retval)
        metadata.create_all(owner.engine)
        with owner.engine.begin() as connection:
            connection.execute(text("GRANT ALL ON graceful_checkpoints TO worker"))
        project.deliver(new_id(), 8)
    check_exact(project)
    for one in (owner, project):
        one.close()

"""A project on each kind of database."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .project import MakeProject, Project, inside_a_worker, new_id


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of the tasks' own, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/shop.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def make_project(database: str, tmp_path: Path) -> Iterator[MakeProject]:
    made = []

    def make(**options: Any) -> Project:
        options.setdefault("store", f"memory://{new_id()}")
        project = Project(options.pop("database", database), folder=tmp_path, **options)
        made.append(project)
        project.create()
        return project

    with inside_a_worker():
        yield make
    for project in made:
        project.close()


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    return make_project()

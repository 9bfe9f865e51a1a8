"""A project on each kind of database, with each ORM."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .project import MakeProject, Project, inside_a_worker, new_id

KINDS = [
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("django+sqlite", marks=pytest.mark.matrix),
    pytest.param("django+postgres", marks=pytest.mark.postgres),
    pytest.param("django+mariadb", marks=[pytest.mark.mariadb, pytest.mark.matrix]),
]


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of the tasks' own, of each kind in turn."""
    return _url(request, tmp_path)


@pytest.fixture(
    params=[
        "django+sqlite",
        pytest.param("django+postgres", marks=pytest.mark.postgres),
        pytest.param("django+mariadb", marks=[pytest.mark.mariadb, pytest.mark.matrix]),
    ]
)
def django_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The same of Django's only."""
    return _url(request, tmp_path)


def _url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    orm, _, kind = request.param.rpartition("+")
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path}/shop.db"
    else:
        url = request.getfixturevalue(f"{kind}_url")
    return f"{orm}+{url}" if orm else url


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

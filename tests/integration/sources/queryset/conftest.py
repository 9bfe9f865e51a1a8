"""A shop's tables on each kind of database; none of them sorts texts by their bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.harness.django_aliases import alias_for, configure

configure()

KINDS = [
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
]


@contextmanager
def tables(url: str, **settings: Any) -> Iterator[str]:
    """The alias of a database with empty tables of the models."""
    from django.db import connections

    from tests.integration.sources.queryset.models import MODELS

    with alias_for(url, **settings) as alias:
        with connections[alias].schema_editor() as editor:
            for model in MODELS:
                editor.create_model(model)
        yield alias


@pytest.fixture(scope="session")
def sqlite_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with tables(f"sqlite:///{tmp_path_factory.mktemp('shop')}/shop.db") as alias:
        yield alias


@pytest.fixture(scope="session")
def postgres_shop(request: pytest.FixtureRequest) -> Iterator[str]:
    server = request.getfixturevalue("postgres_server")
    with server.database("sv") as url, tables(url) as alias:
        yield alias


@pytest.fixture(scope="session")
def mariadb_shop(request: pytest.FixtureRequest) -> Iterator[str]:
    server = request.getfixturevalue("mariadb_server")
    options = {"charset": "utf8mb4"}  # Django 4.2 has utf8mb3
    with server.database() as url, tables(url, OPTIONS=options) as alias:
        yield alias


@pytest.fixture(params=KINDS)
def shop(request: pytest.FixtureRequest) -> str:
    """The alias of an empty shop, on each kind of database in turn."""
    alias: str = request.getfixturevalue(f"{request.param}_shop")
    empty(alias)
    return alias


def empty(alias: str) -> None:
    """Delete all rows."""
    from tests.integration.sources.queryset.models import MODELS, Order

    Order.tags.through.objects.using(alias).all()._raw_delete(alias)
    for model in reversed(MODELS):
        model.objects.using(alias).all()._raw_delete(alias)

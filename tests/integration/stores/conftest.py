"""A place for each kind of store, empty at the start of the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from celery_graceful.stores.base import Store
from celery_graceful.stores.url import open_store
from tests.harness.django_aliases import alias_for, migrate

pytest.register_assert_rewrite("celery_graceful.testing.store_contract")

#: Opens a store of the test's place, in the namespace given.
Opener = Callable[[str], Store]

KINDS = [
    "memory",
    "redis",
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.postgres),
    # The same statements by another way; make test runs test_django_store.py instead.
    pytest.param("mariadb", marks=(pytest.mark.mariadb, pytest.mark.matrix)),
    pytest.param("django_sqlite", marks=pytest.mark.matrix),
    pytest.param("django_postgres", marks=(pytest.mark.postgres, pytest.mark.matrix)),
    pytest.param("django_mariadb", marks=(pytest.mark.mariadb, pytest.mark.matrix)),
]


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'runs.db'}"


@pytest.fixture
def django_sqlite_url(sqlite_url: str) -> Iterator[str]:
    """The URL of a store in an empty SQLite file of Django's."""
    yield from _of_django(sqlite_url)


@pytest.fixture
def django_postgres_url(postgres_url: str) -> Iterator[str]:
    """As ``django_sqlite_url``, in PostgreSQL."""
    yield from _of_django(postgres_url)


@pytest.fixture
def django_mariadb_url(mariadb_url: str) -> Iterator[str]:
    """As ``django_sqlite_url``, in MariaDB."""
    yield from _of_django(mariadb_url)


def _of_django(url: str) -> Iterator[str]:
    with alias_for(url) as alias:
        migrate(alias)
        yield f"django://{alias}"


@pytest.fixture(params=KINDS)
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty store; the test runs once on each kind."""
    if request.param == "memory":
        return f"memory://{uuid4()}"
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=KINDS[1:])
def server_url(request: pytest.FixtureRequest) -> str:
    """As ``store_url``, of the stores that processes share."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=KINDS[1:-3])
def plain_url(request: pytest.FixtureRequest) -> str:
    """As ``server_url``, where the clients of Redis and SQLAlchemy know the URL too."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def opener() -> Iterator[Callable[..., Store]]:
    """Opens stores as ``open_store`` does, and closes them after the test."""
    opened: list[Store] = []

    def open_one(
        url: str, namespace: str = "test", *, timeout: float = 5.0, **options: Any
    ) -> Store:
        opened.append(open_store(url, namespace, timeout=timeout, **options))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def open_here(store_url: str, opener: Callable[..., Store]) -> Opener:
    """Opens a store at the test's place."""
    return lambda namespace: opener(store_url, namespace)


@pytest.fixture
def store(open_here: Opener) -> Store:
    """An empty store, of each kind in turn."""
    return open_here("test")

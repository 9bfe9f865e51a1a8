"""The servers as fixtures: started by the first test that asks, ended with the session."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from tests.servers.mariadb import MariaDB
from tests.servers.postgres import Postgres
from tests.servers.process import MissingProgram
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.valkey import Valkey

REQUIRE = "GRACEFUL_REQUIRE_SERVERS"

Server = TypeVar("Server")


def made_or_skipped(server: Callable[[], Server]) -> Server:
    """What ``server`` makes; skips the test when a program is missing."""
    try:
        return server()
    except MissingProgram as missing:
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(f"{missing} ({REQUIRE}=1 turns this skip into a failure)", pytrace=False)
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Valkey]:
    """The session's Valkey server. A test that stops it must bring it back."""
    with made_or_skipped(Valkey) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[RabbitMQ]:
    """The session's RabbitMQ server; skips when its program is missing."""
    with made_or_skipped(RabbitMQ) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """The session's PostgreSQL server; skips when its programs are missing."""
    with made_or_skipped(Postgres) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDB]:
    """The session's MariaDB server; skips when its programs are missing."""
    with made_or_skipped(MariaDB) as server:
        yield server


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """A Valkey server of the test's own, to be stopped and killed at will."""
    with made_or_skipped(Valkey) as server:
        yield server


@pytest.fixture
def redis_url(valkey_server: Valkey) -> str:
    """The URL of an empty Redis database."""
    return valkey_server.fresh_url()


@pytest.fixture
def rabbitmq_url(rabbitmq_server: RabbitMQ) -> Iterator[str]:
    """The URL of an empty RabbitMQ vhost."""
    with rabbitmq_server.vhost() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """The URL of an empty PostgreSQL database, for SQLAlchemy with psycopg."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def sorted_postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """As ``postgres_url``; texts are sorted as in Swedish, not by their bytes: a, B, z, ä."""
    with postgres_server.database("sv") as url:
        yield url


@pytest.fixture
def mariadb_url(mariadb_server: MariaDB) -> Iterator[str]:
    """The URL of an empty MariaDB database, for SQLAlchemy with PyMySQL.

    Neither case nor accents nor spaces at the end distinguish two texts in it.
    """
    with mariadb_server.database() as url:
        yield url


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty broker: Redis, unless the test is marked with ``brokers``.

    With ``--all`` the test runs once on each kind; see ``tests/selection.py``.
    """
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url

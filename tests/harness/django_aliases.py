"""Databases of Django in the process of the tests, added as they are needed."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from sqlalchemy import make_url

_ENGINES = {"postgresql": "postgresql", "mysql": "mysql", "sqlite": "sqlite3"}
#: A variable of the environment: Django connects to PostgreSQL by psycopg2.
PSYCOPG2 = "GRACEFUL_TESTS_WITH_PSYCOPG2"
_numbers = itertools.count(1)


def configure() -> None:
    """Configure Django for this process, unless another test has."""
    import django
    from django.conf import settings

    if (
        "MySQLdb" not in sys.modules and find_spec("MySQLdb") is None
    ):  # mysqlclient is used where it is installed
        import pymysql

        pymysql.install_as_MySQLdb()
    if PSYCOPG2 in os.environ:
        _prefer_psycopg2()
    if not settings.configured:
        settings.configure(DATABASES={}, INSTALLED_APPS=[], USE_TZ=True)
    django.setup()


def _prefer_psycopg2() -> None:
    """Have Django use psycopg2, though psycopg 3 is installed, which the servers need."""
    here = sys.modules.get("psycopg")
    sys.modules["psycopg"] = None  # type: ignore[assignment]  # as if it were not
    try:
        import django.db.backends.postgresql.base  # noqa: F401
    finally:
        del sys.modules["psycopg"]
        if here is not None:
            sys.modules["psycopg"] = here


def settings_of(url: str) -> dict[str, Any]:
    """``DATABASES[alias]`` for a URL of SQLAlchemy."""
    parsed = make_url(url)
    return {
        "ENGINE": f"django.db.backends.{_ENGINES[parsed.get_backend_name()]}",
        "NAME": parsed.database,
        "USER": parsed.username or "",
        "PASSWORD": parsed.password or "",
        "HOST": parsed.host or "",
        "PORT": str(parsed.port or ""),
    }


@contextmanager
def alias_for(url: str, **settings: Any) -> Iterator[str]:
    """The name of a database that Django connects to as ``url`` says, until the end of the block.

    Args:
        url: of SQLAlchemy.
        settings: more of ``DATABASES[alias]``.
    """
    configure()
    from django.db import connections

    alias = f"test_{next(_numbers)}"
    given = {alias: {**settings_of(url), **settings}}
    # Fills in the defaults, as for those of the settings.
    connections.settings[alias] = connections.configure_settings(
        {**given, "default": {"ENGINE": "django.db.backends.dummy"}}
    )[alias]
    try:
        yield alias
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]


def migrate(alias: str) -> None:
    """Create the tables of ``django://`` in a database, as the migration does."""
    from django.db import connections

    from celery_graceful.contrib.django.create_tables import CreateTables

    with connections[alias].schema_editor() as editor:
        CreateTables().database_forwards("celery_graceful", editor, None, None)
    connections[alias].close()

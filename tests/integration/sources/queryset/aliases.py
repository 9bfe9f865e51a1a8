"""Databases of Django in the process of the tests, added as they are needed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import make_url

_ENGINES = {"postgresql": "postgresql", "mysql": "mysql", "sqlite": "sqlite3"}
_numbers = itertools.count(1)


def configure() -> None:
    """Configure Django for this process, unless another test has."""
    import django
    import pymysql
    from django.conf import settings

    # Django asks for mysqlclient's version.
    pymysql.install_as_MySQLdb()
    if not settings.configured:
        settings.configure(DATABASES={}, INSTALLED_APPS=[], USE_TZ=True)
    django.setup()


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

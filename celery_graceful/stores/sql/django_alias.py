"""SQLAlchemy engines over connections that Django makes: ``django://alias``.

Django's configuration is in force with all that belongs to it: password callbacks of a custom
backend, TLS, roles, ``init_command``, receivers of ``connection_created``. But no connection is
one that Django's ORM uses, so that a rollback there undoes no checkpoint, and a checkpoint commits
nothing of the project's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celery_graceful.errors import SettingsError, StoreError
from celery_graceful.stores.sql.engine import prepare_sqlite

if TYPE_CHECKING:
    from sqlalchemy import Engine

#: SQLAlchemy's names by Django's, and by the first part of the driver's module.
_DIALECTS = {
    ("postgresql", "psycopg"): "postgresql+psycopg",
    ("postgresql", "psycopg2"): "postgresql+psycopg2",
    ("mysql", "MySQLdb"): "mysql+mysqldb",
    ("mysql", "pymysql"): "mysql+pymysql",
    ("sqlite", "sqlite3"): "sqlite+pysqlite",
}


def alias_of(url: str) -> str:
    """The alias that a URL names; ``default`` where it names none."""
    return url.partition("://")[2].strip("/") or "default"


def sqlite_file(url: str) -> str | None:
    """The file of a store in SQLite; ``None``: it is another kind of database, or none."""
    try:
        wrapper = _wrapper(alias_of(url), timeout=1)
    except SettingsError:
        return None
    return str(wrapper.settings_dict["NAME"]) if wrapper.vendor == "sqlite" else None


def make_django_engine(url: str, timeout: float, options: Mapping[str, Any] | None) -> Engine:
    """Make an engine in autocommit mode over a database of Django's; nothing is connected yet.

    Args:
        url: ``django://`` and the alias of a database.
        timeout: Seconds to connect, to wait for a lock and to wait for an answer.
        options: ``graceful_store_options``: further arguments of SQLAlchemy's ``create_engine``.

    Raises:
        SettingsError: There is no such alias, its driver is missing, or no store can use it.
    """
    from sqlalchemy import URL, create_engine

    alias = alias_of(url)
    sample = _wrapper(alias, timeout)
    settings = sample.settings_dict
    given = {"pool_pre_ping": sample.vendor != "sqlite", **(options or {})}
    if "poolclass" not in given and "pool" not in given:
        given = {"pool_timeout": timeout, **_recycling(settings), **given}
    named = URL.create(  # not connected by; for messages, and so that its password is masked
        _dialect(alias, sample),
        username=str(settings["USER"] or "") or None,
        password=str(settings["PASSWORD"] or "") or None,
        host=str(settings["HOST"] or "") or None,
        database=alias,  # SQLAlchemy has another pool for SQLite without a name
    )
    if "psycopg" in named.drivername:
        given.setdefault("use_native_hstore", False)  # it would look for the type at each connect
    try:
        return create_engine(
            named,
            **given,
            creator=lambda: _connect(alias, timeout),
            isolation_level="AUTOCOMMIT",
        )
    except (TypeError, ValueError) as exc:
        raise SettingsError(f"graceful_store_options cannot be used for {url}: {exc}") from exc


def _recycling(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``CONN_MAX_AGE``, where it is a limit; 0 would be a connection for each call."""
    age = settings.get("CONN_MAX_AGE")
    return {"pool_recycle": age} if age else {}


def _dialect(alias: str, wrapper: Any) -> str:
    driver = getattr(getattr(wrapper, "Database", None), "__name__", "none").partition(".")[0]
    found = _DIALECTS.get((wrapper.vendor, driver))
    if found is None:
        raise SettingsError(
            f"graceful_store: django://{alias} is a database of {wrapper.vendor} with the driver"
            f" {driver}, in which no store is tested. Use PostgreSQL, MySQL, MariaDB or SQLite, or"
            " write redis://host:6379/0"
        )
    return found


def _wrapper(alias: str, timeout: float) -> Any:
    """Django's wrapper of a connection of our own, which no thread shares."""
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.db import connections
    except ImportError as exc:
        raise SettingsError(
            f"graceful_store: django://{alias} needs Django, which is not installed:"
            " pip install 'celery-graceful[django]'"
        ) from exc
    try:
        if alias not in connections.settings:
            raise SettingsError(
                f"graceful_store: django://{alias} names no database of Django's. DATABASES has"
                f" {', '.join(sorted(connections.settings))}"
            )
        known = connections[alias]
    except ImproperlyConfigured as exc:
        raise SettingsError(f"graceful_store: django://{alias} cannot be used: {exc}") from exc
    settings, given = dict(known.settings_dict), dict(known.settings_dict["OPTIONS"])
    # A pool of Django's would keep what it lent; its isolation level is for transactions.
    given.pop("pool", None)
    given.pop("isolation_level", None)
    settings.update(AUTOCOMMIT=True, OPTIONS={**given, **_waiting(known.vendor, timeout)})
    return type(known)(settings, alias)


def _waiting(vendor: str, timeout: float) -> dict[str, Any]:
    """How long the driver waits, as options of its own."""
    whole = max(1, math.ceil(timeout))
    if vendor == "postgresql":
        return {"connect_timeout": whole, "tcp_user_timeout": max(1, int(timeout * 1000))}
    if vendor == "mysql":
        return {"connect_timeout": whole, "read_timeout": whole, "write_timeout": whole}
    return {"timeout": timeout}


def _connect(alias: str, timeout: float) -> Any:
    """A new connection of the driver, made and prepared as Django does."""
    from django.core.exceptions import ImproperlyConfigured
    from django.db import Error

    wrapper = _wrapper(alias, timeout)
    if wrapper.vendor == "sqlite" and wrapper.is_in_memory_db():
        raise StoreError(
            f"django://{alias} is an SQLite database in memory, such as Django's test runner makes:"
            " no second connection sees it. Set graceful_store = 'memory://' in the settings of"
            " tests (CELERY_GRACEFUL_STORE), or give the database a file (TEST: {'NAME': …})"
        )
    try:
        wrapper.ensure_connection()  # not connect(): pytest-django refuses it without its mark
        _prepare(wrapper, timeout)
    except ImproperlyConfigured as exc:
        raise StoreError(f"django://{alias} cannot be connected to: {exc}") from exc
    except Error as exc:
        # SQLAlchemy knows the driver's errors, and whether they may pass.
        raise exc.__cause__ or exc from None
    return wrapper.connection


def _prepare(wrapper: Any, timeout: float) -> None:
    """Let no statement wait longer than it may, where that cannot outlive the connection."""
    settings = wrapper.settings_dict
    if wrapper.vendor == "sqlite":
        if "journal_mode" not in settings["OPTIONS"].get("init_command", ""):
            prepare_sqlite(wrapper.connection)
        return
    if settings.get("DISABLE_SERVER_SIDE_CURSORS"):
        return  # PgBouncer would hand on what is set for the session
    with wrapper.connection.cursor() as cursor:
        if wrapper.vendor == "postgresql":
            cursor.execute(f"SET statement_timeout = {max(1, int(timeout * 1000))}")
        else:
            cursor.execute(f"SET SESSION innodb_lock_wait_timeout = {max(1, math.ceil(timeout))}")

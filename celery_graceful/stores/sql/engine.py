"""SQLAlchemy engines of store URLs: safe to fork, and no call waits much longer than it may."""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from celery_graceful.errors import SettingsError
from celery_graceful.forks import ForkGate
from celery_graceful.stores.origin import Derived, address_of
from celery_graceful.stores.sql.tab_indexes import make_tab_indexes
from celery_graceful.stores.sql.tables import metadata
from celery_graceful.text.masking import mask_text, mask_url

logger = logging.getLogger("celery_graceful.stores")

#: Among the options: a function that is given the engine, as Celery's
#: ``database_engine_callback`` (it may fetch a password for each connection).
ENGINE_CALLBACK = "engine_callback"

_LIBPQ = frozenset({"psycopg", "psycopg2"})
_MYSQL = frozenset({"mysqldb", "pymysql"})


def make_engine(
    url: str,
    timeout: float,
    options: Mapping[str, Any] | None = None,
    derived: Derived | None = None,
) -> Engine:
    """Make an engine in autocommit mode; nothing is connected yet.

    Args:
        url: A URL of SQLAlchemy.
        timeout: Seconds to connect, to wait for a lock and to wait for an answer.
        options: ``graceful_store_options``: further arguments of ``create_engine``.
        derived: Where the database was found, if no setting names it.

    Raises:
        SettingsError: The URL cannot be used, or its driver is not installed.
    """
    wrong = partial(_wrong, url, address_of(url, derived))
    given = {**({} if derived is None else derived.options()), **(options or {})}
    prepare = given.pop(ENGINE_CALLBACK, None)
    parsed = _parsed(url, wrong)
    sqlite = parsed.get_backend_name() == "sqlite"
    try:
        engine = create_engine(parsed, **_options(parsed, timeout, given))
    except ImportError as exc:
        raise wrong(f"its driver is not installed ({exc})") from exc
    except (ArgumentError, NoSuchModuleError, TypeError, ValueError) as exc:
        raise wrong(str(exc)) from None  # the cause may quote a password
    if engine.dialect.is_async:
        raise wrong("its driver is for asyncio")
    if sqlite:
        event.listen(engine, "connect", prepare_sqlite)
    if prepare is not None:
        prepare(engine)
    return engine


def _options(url: URL, timeout: float, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of ``create_engine``: our own, unless something else is given."""
    own: dict[str, Any] = {} if url.get_backend_name() == "sqlite" else {"pool_pre_ping": True}
    if "poolclass" not in given and "pool" not in given:
        own.update(pool_size=5, max_overflow=10, pool_timeout=timeout)
    arguments = {**_connect_args(url, timeout), **(given.get("connect_args") or {})}
    return {**own, **given, "connect_args": arguments, "isolation_level": "AUTOCOMMIT"}


def _parsed(url: str, wrong: Callable[[str], SettingsError]) -> URL:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except NoSuchModuleError as exc:
        raise wrong(f"SQLAlchemy knows no {url.partition('://')[0]}://") from exc
    except (ArgumentError, ValueError):
        raise wrong("it cannot be parsed") from None
    except ImportError as exc:
        raise wrong(f"its driver is not installed ({exc})") from exc
    file = parsed.database or ""
    in_memory = file in ("", ":memory:") or parsed.query.get("mode") == "memory"
    if parsed.get_backend_name() == "sqlite" and in_memory:
        raise SettingsError(
            f"graceful_store: {mask_url(url)} names no file. Write sqlite:///path/to/file "
            "(four slashes for an absolute path), or memory:// for a store without a file."
        )
    return parsed


def _connect_args(url: URL, timeout: float) -> dict[str, Any]:
    driver = url.get_driver_name()
    if url.get_backend_name() == "sqlite":
        wanted: dict[str, Any] = {"timeout": timeout}
    elif driver in _LIBPQ:
        milliseconds = max(1, int(timeout * 1000))
        wanted = {
            "connect_timeout": max(1, math.ceil(timeout)),
            "tcp_user_timeout": milliseconds,
            "options": f"-c statement_timeout={milliseconds}",
        }
    elif driver in _MYSQL:
        whole = max(1, math.ceil(timeout))
        wanted = {"connect_timeout": whole, "read_timeout": whole, "write_timeout": whole}
    else:
        wanted = {}
    return {name: value for name, value in wanted.items() if name not in url.query}


def prepare_sqlite(connection: Any, _record: object = None) -> None:
    """Let readers and a writer of an SQLite file work at the same time."""
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA journal_mode=WAL")
        # Survives the end of any process; only a power cut may take the last moments back.
        cursor.execute("PRAGMA synchronous=NORMAL")
    except sqlite3.OperationalError as exc:
        # Another connection switches this very moment; the mode belongs to the file.
        if "locked" not in str(exc):
            raise
    finally:
        cursor.close()


def _wrong(url: str, address: str, why: str) -> SettingsError:
    return SettingsError(
        f"graceful_store: {address} cannot be used: {mask_text(why, url)}. Write redis://host:6379/0,"
        " sqlite:////path/to/file, postgresql+psycopg://user:password@host/database (with "
        "psycopg installed), or another URL of SQLAlchemy whose driver is installed."
    )


class ForkSafeEngine:
    """Hands out connections of ``engine`` that belong to the present process.

    A child never uses nor closes a connection of its parent, since both would talk over one
    socket. SQLite's connections are closed before each fork: its locks are not inherited, but its
    belief to hold them is, which ends in lost writes.

    Args:
        engine: In autocommit mode.
        prepare: Called before the first connection is handed out; again if it raises.
    """

    def __init__(self, engine: Engine, prepare: Callable[[Engine], None]) -> None:
        self._engine = engine
        self._prepare = prepare
        self._lock = threading.Lock()
        self._ready = False
        # Pools of parents: kept, since collecting them would close the parent's sockets.
        self._abandoned: list[object] = []
        self._gate = ForkGate(before=self._before_fork, after_in_child=self._after_fork)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection."""
        with self._gate.inside():
            if not self._ready:
                with self._lock:
                    if not self._ready:
                        self._prepare(self._engine)
                        self._ready = True
            with self._engine.connect() as connection:
                yield connection

    def close(self) -> None:
        """Close the connections that this process opened."""
        with self._gate.inside():
            self._engine.dispose()

    def _before_fork(self) -> None:
        if self._engine.dialect.name != "sqlite":
            return
        try:
            self._engine.dispose()
        except SQLAlchemyError as exc:
            logger.warning("Connections to SQLite could not be closed before a fork: %s", exc)

    def _after_fork(self) -> None:
        self._abandoned.append(self._engine.pool)
        self._engine.dispose(close=False)
        self._lock = threading.Lock()


def make_tables(engine: Engine) -> None:
    """Create the tables that do not exist, and indexes that an older version did not make."""
    for _ in metadata.tables:
        try:
            metadata.create_all(engine)
            break
        except DBAPIError as exc:
            # Another process was quicker by a moment, with one of them: on to the next.
            if "already exists" not in str(exc):
                raise
    else:
        metadata.create_all(engine)
    make_tab_indexes(engine)

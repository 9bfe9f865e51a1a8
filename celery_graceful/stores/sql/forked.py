"""An engine that is safe to fork, and that makes its tables on first use."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from celery_graceful.forks import ForkGate
from celery_graceful.stores.sql.tables import metadata

logger = logging.getLogger("celery_graceful.stores")


class ForkSafeEngine:
    """Hands out connections of ``engine`` that belong to the present process.

    A child never uses nor closes a connection of its parent, since both would talk over one
    socket. SQLite's connections are closed before each fork: its locks are not inherited, but its
    belief to hold them is, which ends in lost writes.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._ready = False
        # Pools of parents: kept, since collecting them would close the parent's sockets.
        self._abandoned: list[object] = []
        self._gate = ForkGate(before=self._before_fork, after_in_child=self._after_fork)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection, on which the tables exist."""
        with self._gate.inside():
            if not self._ready:
                with self._lock:
                    if not self._ready:
                        self._make_tables()
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

    def _make_tables(self) -> None:
        for _ in metadata.tables:
            try:
                metadata.create_all(self._engine)
                break
            except DBAPIError as exc:
                # Another process was quicker by a moment, with one of them: on to the next.
                if "already exists" not in str(exc):
                    raise
        else:
            metadata.create_all(self._engine)
        self._ready = True

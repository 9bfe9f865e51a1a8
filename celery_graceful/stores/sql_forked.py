"""An engine that notices that its process was forked, and makes its table on first use."""

from __future__ import annotations

import os
import threading

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import DBAPIError

from celery_graceful.stores.sql_statements import metadata, table

__all__ = ["ForkSafeEngine"]


class ForkSafeEngine:
    """Hands out connections of ``engine`` that belong to the present process.

    A child never uses nor closes a connection of its parent: both would talk over one socket.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._ready = False
        # Pools of parents: kept, since collecting them would close the parent's sockets.
        self._abandoned: list[object] = []

    def connect(self) -> Connection:
        """A connection, on which the table exists."""
        if self._pid != os.getpid():
            self._leave_parent()
        if not self._ready:
            with self._lock:
                if not self._ready:
                    self._make_table()
        return self._engine.connect()

    def close(self) -> None:
        """Close the connections that this process opened."""
        if self._pid == os.getpid():
            self._engine.dispose()

    def _leave_parent(self) -> None:
        # Without the lock: a thread of the parent may have held it at the fork.
        self._abandoned.append(self._engine.pool)
        self._engine.dispose(close=False)
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def _make_table(self) -> None:
        try:
            metadata.create_all(self._engine)
        except DBAPIError:
            # Another process may have been quicker by a moment.
            if not inspect(self._engine).has_table(table.name):
                raise
        self._ready = True

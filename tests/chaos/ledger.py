"""The ledger of effects, a table in PostgreSQL: one row for each time an item was done."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import TupleRow

_TABLE = """
CREATE TABLE effects (
    id uuid PRIMARY KEY,
    run text NOT NULL,
    item integer NOT NULL,
    kind text NOT NULL,
    fence bigint NOT NULL,
    pid integer NOT NULL,
    worker integer NOT NULL,
    at double precision NOT NULL,
    noted timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
#: The same ``id`` again is the same execution, whose answer was lost.
INSERT_NAMED = (
    "INSERT INTO effects (id, run, item, kind, fence, pid, worker, at) "
    "VALUES (:id, :run, :item, :kind, :fence, :pid, :worker, :at) ON CONFLICT DO NOTHING"
)
INSERT = re.sub(r":(\w+)", r"%(\1)s", INSERT_NAMED)
#: Seconds for which a write goes on trying while the database is away.
PATIENCE = 60.0


class Effect(NamedTuple):
    """One execution of one item; ``at`` is the host's monotonic time in seconds."""

    run: str
    item: int
    kind: str
    fence: int
    pid: int
    worker: int
    at: float


def row(run: str, item: int, kind: str, fence: int) -> dict[str, Any]:
    """The values of ``INSERT`` for an item that is done here and now, in a pool child."""
    return {
        "id": str(uuid.uuid4()),
        "run": run,
        "item": item,
        "kind": kind,
        "fence": fence,
        "pid": os.getpid(),
        "worker": os.getppid(),
        "at": time.monotonic(),
    }


class Ledger:
    """The table, on an autocommitting connection that is made again when it breaks.

    Args:
        url: as SQLAlchemy writes it, for psycopg.
    """

    def __init__(self, url: str) -> None:
        self._dsn = url.replace("+psycopg", "")
        self._connection: psycopg.Connection[TupleRow] | None = None
        self._pid = 0

    def make(self) -> None:
        """Create the table."""
        self._connected().execute(_TABLE)

    def write(self, values: dict[str, Any]) -> None:
        """Add a row, once, however often the connection breaks meanwhile."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self._connected().execute(INSERT, values)
                return
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                self._connection = None
                time.sleep(0.05)

    def read(self) -> list[Effect]:
        """All effects, in the order of their times."""
        self.close()  # what was idle may have been cut
        found = self._connected().execute(
            "SELECT run, item, kind, fence, pid, worker, at FROM effects ORDER BY at"
        )
        return list(_effects(found))

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> psycopg.Connection[TupleRow]:
        if self._connection is None or self._pid != os.getpid():
            self._connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=5)
            self._pid = os.getpid()
        return self._connection


def _effects(rows: psycopg.Cursor[TupleRow]) -> Iterator[Effect]:
    for values in rows:
        yield Effect(*values)

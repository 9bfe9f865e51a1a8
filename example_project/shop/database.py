"""The shop's tables, in SQLite."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from shop import settings

__all__ = ["connect", "create"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS products (
    sku   TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    cents INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS customers (
    id    INTEGER PRIMARY KEY,
    name  TEXT NOT NULL,
    email TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS orders (
    id          INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    day         TEXT NOT NULL,
    cents       INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS orders_by_customer ON orders (customer_id, day);
CREATE TABLE IF NOT EXISTS statements (
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    day         TEXT NOT NULL,
    cents       INTEGER NOT NULL,
    PRIMARY KEY (customer_id, day)
);
CREATE TABLE IF NOT EXISTS stock (
    sku    TEXT PRIMARY KEY,
    pieces INTEGER NOT NULL
);
"""


_local = threading.local()


@contextmanager
def connect() -> Iterator[sqlite3.Connection]:
    """This thread's connection; committed at the end of the block, rolled back when it raises."""
    connection = getattr(_local, "connection", None)
    if connection is None:
        connection = _local.connection = _open()
    with connection:
        yield connection


def _open() -> sqlite3.Connection:
    connection = sqlite3.connect(settings.DATABASE, timeout=30)  # other workers write as well
    connection.row_factory = sqlite3.Row
    # Fast: a power cut may undo the last commits, the end of a worker does not.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def create() -> None:
    """Create the tables that are missing."""
    with connect() as db:
        db.executescript(_SCHEMA)

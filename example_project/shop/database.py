"""The shop's tables, in SQLite."""

from __future__ import annotations

import sqlite3
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
"""


@contextmanager
def connect() -> Iterator[sqlite3.Connection]:
    """A connection; committed at the end of the block, rolled back when it raises."""
    connection = sqlite3.connect(settings.DATABASE, timeout=30)
    connection.row_factory = sqlite3.Row
    # Other workers write as well. A power cut may undo the last commits; a killed worker does not.
    connection.execute("PRAGMA synchronous = OFF")
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def create() -> None:
    """Create the tables that are missing."""
    with connect() as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(_SCHEMA)

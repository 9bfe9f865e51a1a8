"""Locks and transactions, as the databases behind SQLAlchemy have them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, SessionTransaction

from celery_graceful.atomic import driver_errors

#: How long one attempt waits for another transaction, in seconds.
WAIT = 0.5


#: On SQLite: there was a savepoint in this batch, so there is a transaction.
_HAD_SAVEPOINT = "graceful_had_savepoint"


@contextmanager
def bounded_wait(connection: Connection) -> Iterator[None]:
    """Wait for locks no longer than :data:`WAIT`, within the present transaction."""
    milliseconds = int(WAIT * 1000)
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = {milliseconds}"))
        yield
    elif connection.dialect.name == "sqlite":
        before = connection.execute(text("PRAGMA busy_timeout")).scalar_one()
        connection.execute(text(f"PRAGMA busy_timeout = {milliseconds}"))
        try:
            yield
        finally:
            # A pooled connection outlives the transaction, and this setting with it.
            connection.execute(text(f"PRAGMA busy_timeout = {before}"))
    else:
        yield


def guard_savepoints(session: Session, transaction: SessionTransaction, at: Connection) -> None:
    """Have a savepoint begin within a transaction: a listener for a session's ``after_begin``.

    Python's driver for SQLite begins one at the first write only; a savepoint that comes before
    would be the outermost transaction itself, and be committed at its end.
    """
    if at.dialect.name == "sqlite" and not event.contains(at, "savepoint", _begin_first):
        event.listen(at, "savepoint", _begin_first)


def _begin_first(connection: Connection, name: str) -> None:
    # Not once more in one batch: the database itself has undone what came before.
    if not is_transactional(connection) and not connection.info.get(_HAD_SAVEPOINT):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    connection.info[_HAD_SAVEPOINT] = True


def forget_savepoints(connection: Connection) -> None:
    """A batch begins."""
    connection.info.pop(_HAD_SAVEPOINT, None)


def has_lost_savepoints(connection: Connection) -> bool:
    """Whether the batch had savepoints, and its transaction is gone (SQLite may end it itself)."""
    return bool(connection.info.get(_HAD_SAVEPOINT)) and not is_transactional(connection)


def is_busy(exc: DBAPIError) -> bool:
    """Whether the same statement may succeed when another transaction has ended."""
    return driver_errors.is_busy(exc.orig)


def is_transactional(connection: Connection) -> bool:
    """Whether what was just written on ``connection`` can still be rolled back."""
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        return bool(getattr(driver, "in_transaction", True))
    return getattr(driver, "autocommit", False) is not True

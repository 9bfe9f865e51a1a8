"""What errors of database drivers mean, whatever has raised them."""

from __future__ import annotations

from typing import Any

#: SQLSTATEs of a lock that was not to be had, and of transactions that got in each other's way.
_BUSY_STATES = ("55P03", "40001", "40P01")
#: Numbers of MySQL's and MariaDB's errors: lock wait timeout, deadlock.
_BUSY_NUMBERS = (1205, 1213)
#: Numbers of MySQL's and MariaDB's errors: the server has gone away, or the connection is lost.
_LOST_NUMBERS = (0, 2006, 2013, 2055, 4031)


def is_busy(cause: Any) -> bool:
    """Whether the same statement may succeed when another transaction has ended.

    Args:
        cause: the driver's own error.
    """
    if _number(cause) in _BUSY_NUMBERS:  # PyMySQL's have an SQLSTATE as well, "HY000" for all
        return True
    state = sqlstate(cause)
    if state:
        return state in _BUSY_STATES
    if getattr(cause, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return True
    return "database is locked" in str(cause)  # Python 3.10 has no names for SQLite's errors


def is_lost(cause: Any, connection: Any) -> bool:
    """Whether a driver's error means that its connection is gone.

    Args:
        cause: the driver's own error, or ``None``.
        connection: the driver's connection.
    """
    if getattr(connection, "closed", False):  # psycopg and psycopg2
        return True
    # PyMySQL and mysqlclient
    return not getattr(connection, "open", True) or _number(cause) in _LOST_NUMBERS


def sqlstate(cause: Any) -> str:
    """PostgreSQL's code of an error; empty when it has none."""
    return str(getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or "")


def _number(cause: Any) -> Any:
    arguments = getattr(cause, "args", ())
    return arguments[0] if arguments else None

"""Notices a checkpoint that would run ahead of work in an open transaction of the user's own.

Work that is not committed is lost in a crash, and the run would go on behind it. Seen through
SQLAlchemy's events, where a process has SQLAlchemy: a transaction that began within this run, in
which something was written, and that is still open when the loop looks up.
"""

from __future__ import annotations

import re
import sys
from typing import Any

from celery_graceful.errors import TransactionError
from celery_graceful.tasks.current import UnderWay, current_leg

__all__ = ["check", "watch"]

_WRITES = re.compile(r"\s*(insert|update|delete|merge|replace)\b", re.IGNORECASE)

_watching: list[bool] = []


def watch() -> None:
    """Listen to SQLAlchemy from now on, if this process has imported it."""
    if _watching or "sqlalchemy.engine" not in sys.modules:
        return
    _watching.append(True)
    from sqlalchemy import Engine, event

    event.listen(Engine, "begin", _begun)
    event.listen(Engine, "before_cursor_execute", _executes)
    event.listen(Engine, "commit", _ended)
    event.listen(Engine, "rollback", _ended)


def check(leg: UnderWay) -> None:
    """Called when the loop looks up and ``leg`` has transactions under way.

    Raises:
        TransactionError: something was written in one of them.
    """
    for connection, statement in list(leg.transactions.items()):
        if statement and not connection.closed and connection.in_transaction():
            raise TransactionError(
                f"{leg.task.name}: its checkpoint at cursor {leg.cursor!r:.200} would be saved "
                "while a transaction of the task's own on "
                f"{connection.engine.url.render_as_string()} is open, in which it has written "
                f"({statement!r}). A crash would undo that work, and the run would go on behind "
                "it. Commit before the item ends; or give the task the option atomic = "
                "Atomic.sqlalchemy(Session), which commits work and checkpoint together."
            )


def _leg() -> UnderWay | None:
    leg = current_leg.get()
    return None if leg is None or leg.task.atomic is not None else leg


def _begun(connection: Any) -> None:
    leg = _leg()
    if leg is not None and not _commits_by_itself(connection):
        leg.transactions[connection] = ""


def _executes(
    connection: Any, _cursor: Any, statement: str, _values: Any, context: Any, _: Any
) -> None:
    leg = _leg()
    if leg is None or leg.transactions.get(connection) != "":
        return
    compiled = context is not None and (context.isinsert or context.isupdate or context.isdelete)
    if compiled or _WRITES.match(statement):
        leg.transactions[connection] = statement[:80]


def _ended(connection: Any) -> None:
    leg = _leg()
    if leg is not None:
        leg.transactions.pop(connection, None)


def _commits_by_itself(connection: Any) -> bool:
    level = connection.get_execution_options().get("isolation_level")
    if level is None:
        level = getattr(connection.dialect, "_on_connect_isolation_level", None)
    return bool(level == "AUTOCOMMIT")

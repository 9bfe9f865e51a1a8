"""Statements that would end or bypass a batch's transaction, refused before the database sees them.

Django itself refuses ``commit()``, ``rollback()`` and ``set_autocommit()`` within a block. This is
for statements: ``COMMIT`` by a cursor, and on MySQL and MariaDB those that commit implicitly
(https://dev.mysql.com/doc/refman/8.4/en/implicit-commit.html) and those for tables that cannot
roll back.
"""

from __future__ import annotations

import re
from typing import Any

from celery_graceful.atomic.django_misuse import Misuse
from celery_graceful.atomic.django_table import engine_without_rollback, no_rollback
from celery_graceful.errors import TransactionError

#: Statements known to be harmless; a program may make new ones all the time.
_MOST_KNOWN = 500

_WORDS = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*([a-z]+)\s*([a-z]*)\s*([a-z]*)", re.I | re.S)
_ENDS = frozenset({"COMMIT", "END", "ABORT", "BEGIN", "START"})
#: Their names are new each time.
_SAVEPOINTS = frozenset({"SAVEPOINT", "RELEASE", "ROLLBACK"})

# -- MySQL and MariaDB -----------------------------------------------------------------------

_COMMITS = frozenset(
    {"ALTER", "ANALYZE", "CACHE", "CREATE", "DROP", "FLUSH", "GRANT", "INSTALL", "LOCK", "OPTIMIZE"}
    | {"RENAME", "REPAIR", "RESET", "REVOKE", "TRUNCATE", "UNINSTALL", "UNLOCK"}
)
_SETS_AUTOCOMMIT = re.compile(r"\s*SET\b.*\bautocommit\s*=", re.I | re.S)
_NAME = r"(?:`[^`]*`\s*\.\s*)?(?:`([^`]+)`|(\w+))"
_CHANGES = (
    re.compile(
        r"\s*(?:INSERT|REPLACE)\s+(?:(?:LOW_PRIORITY|DELAYED|HIGH_PRIORITY|IGNORE)\s+)*"
        rf"(?:INTO\s+)?{_NAME}",
        re.I,
    ),
    re.compile(rf"\s*UPDATE\s+(?:(?:LOW_PRIORITY|IGNORE)\s+)*{_NAME}", re.I),
    re.compile(
        rf"\s*DELETE\s+(?:(?:LOW_PRIORITY|QUICK|IGNORE)\s+)*(?:FROM\s+)?{_NAME}",
        re.I,
    ),
)


class StatementGuard:
    """An execute wrapper of Django's connection, for one execution of a task.

    Args:
        misuse: says what is wrong with a statement.
    """

    def __init__(self, connection: Any, misuse: Misuse) -> None:
        self._connection = connection
        self._misuse = misuse
        self._is_sqlite = connection.vendor == "sqlite"
        self._known: set[str] = set()
        #: Tables that can roll back.
        self._tables: set[str] = set()

    def install(self) -> None:
        """Check each statement from now on."""
        # At the bottom: items may push and pop wrappers of their own.
        self._connection.execute_wrappers.insert(0, self)

    def remove(self) -> None:
        """No longer."""
        wrappers = self._connection.execute_wrappers
        if self in wrappers:
            wrappers.remove(self)

    def __call__(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if isinstance(sql, str) and sql not in self._known:
            self._look(sql)
        # What follows would be committed by itself. Other databases begin another transaction,
        # of which the batch's end finds out.
        if self._is_sqlite and not self._is_in_transaction():
            self._check_savepoint(sql)
        return execute(sql, params, many, context)

    def _is_in_transaction(self) -> bool:
        connection = self._connection
        return bool(connection.closed_in_transaction or connection.connection.in_transaction)

    def _check_savepoint(self, sql: str) -> None:
        # RELEASE and ROLLBACK TO of a savepoint that is gone fail by themselves.
        if not sql.startswith(("RELEASE", "ROLLBACK")):
            raise self._misuse.undone()

    def _look(self, sql: str) -> None:
        words = _WORDS.match(sql)
        first, second, third = (w.upper() for w in words.groups()) if words else ("", "", "")
        if _ends_transaction(first, second, third):
            raise TransactionError(self._misuse.hands_off(f"the statement {sql[:60]!r}"))
        if self._connection.vendor == "mysql":
            self._look_as_mysql(sql, first, second)
        if first not in _SAVEPOINTS:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known.add(sql)

    def _look_as_mysql(self, sql: str, first: str, second: str) -> None:
        if (first in _COMMITS and second != "TEMPORARY") or _SETS_AUTOCOMMIT.match(sql):
            raise TransactionError(
                self._misuse.hands_off(
                    f"the statement {sql[:60]!r}, with which {self._connection.display_name} "
                    "commits implicitly,"
                )
            )
        for changes in _CHANGES:
            if found := changes.match(sql):
                self._look_at_table(found.group(1) or found.group(2))

    def _look_at_table(self, table: str) -> None:
        if table in self._tables:
            return
        engine = engine_without_rollback(self._connection, table)
        if engine:
            raise TransactionError(no_rollback(self._connection, self._misuse.task, table, engine))
        self._tables.add(table)


def _ends_transaction(first: str, second: str, third: str) -> bool:
    if first == "ROLLBACK":
        return "TO" not in (second, third)
    return first in _ENDS or (first, second) == ("PREPARE", "TRANSACTION")

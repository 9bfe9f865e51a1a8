"""The table ``graceful_checkpoints`` through Django's connections, and its statements.

It has the columns that :mod:`.alchemy_table` gives it. It is made on first use; the Django app
``celery_graceful.contrib.django`` makes it by a migration.
"""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError

from celery_graceful.atomic.database import Claim, Mark, Row
from celery_graceful.errors import TransactionError

TABLE = "graceful_checkpoints"

_MINE = "namespace = %s AND task = %s AND id = %s"
#: Locks the row, in every database: on SQLite the only way to read what will still be there.
LOCK = f"UPDATE {TABLE} SET fence = fence WHERE {_MINE}"
READ = f"SELECT fence, started, checkpoint, steps, result, updated_at FROM {TABLE} WHERE {_MINE}"
INSERT = (
    f"INSERT INTO {TABLE} (fence, started, execution, checkpoint, steps, result, updated_at, "
    "namespace, task, id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
REPLACE = (
    f"UPDATE {TABLE} SET fence = %s, started = %s, execution = %s, checkpoint = %s, steps = %s, "
    f"result = %s, updated_at = %s WHERE {_MINE}"
)
MARK = (
    f"UPDATE {TABLE} SET checkpoint = %s, steps = %s, result = %s, updated_at = %s "
    f"WHERE {_MINE} AND execution = %s"
)
FORGET = f"DELETE FROM {TABLE} WHERE {_MINE} AND started = %s AND fence <= %s"

#: By vendor: keys (compared byte by byte everywhere), bytes, floating point numbers, options.
_TYPES = {
    "postgresql": ("varchar(255)", "bytea", "double precision", ""),
    "sqlite": ("varchar(255)", "blob", "double", ""),
    "mysql": (
        "varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        "longblob",
        "double",
        " ENGINE=InnoDB",
    ),
}
VENDORS = tuple(_TYPES)

_ENGINE = (
    "SELECT t.engine, e.transactions FROM information_schema.tables t "
    "JOIN information_schema.engines e ON e.engine = t.engine "
    "WHERE t.table_schema = DATABASE() AND t.table_name = %s"
)


def create_table(vendor: str) -> str:
    """The statement that makes the table; raises ``KeyError`` for an unknown database.

    Args:
        vendor: as Django's connections name it; MariaDB is ``mysql``.
    """
    key, data, number, options = _TYPES[vendor]
    return (
        f"CREATE TABLE IF NOT EXISTS {TABLE} (namespace {key} NOT NULL, task {key} NOT NULL, "
        f"id {key} NOT NULL, fence bigint NOT NULL, started varchar(32) NOT NULL, "
        f"execution varchar(32) NOT NULL, checkpoint {data}, steps bigint NOT NULL, "
        f"result {data}, updated_at {number} NOT NULL, PRIMARY KEY (namespace, task, id)){options}"
    )


DROP_TABLE = f"DROP TABLE IF EXISTS {TABLE}"


class Ready:
    """Knows in which databases the table is there."""

    def __init__(self) -> None:
        self._databases: set[tuple[str, str]] = set()

    def make_sure(self, connection: Any, task: str) -> None:
        """Make the table where it is missing, outside of any transaction.

        Raises:
            TransactionError: it cannot be made, or its database has no transactions.
        """
        # Tests give an alias another database.
        database = (connection.alias, str(connection.settings_dict["NAME"]))
        if database in self._databases:
            return
        if connection.vendor not in VENDORS:
            raise TransactionError(
                f"{task}: Atomic.django knows PostgreSQL, MySQL, MariaDB and SQLite, and the "
                f"database {connection.alias!r} is {connection.display_name}"
            )
        if not _has_table(connection):
            try:
                with connection.cursor() as cursor:
                    cursor.execute(create_table(connection.vendor))
            except DatabaseError as exc:
                if not _has_table(connection):  # another worker may have been quicker by a moment
                    raise TransactionError(_cannot_make(connection, task, exc)) from exc
        if connection.vendor == "mysql" and (engine := engine_without_rollback(connection, TABLE)):
            raise TransactionError(no_rollback(connection, task, TABLE, engine))
        self._databases.add(database)


def _has_table(connection: Any) -> bool:
    with connection.cursor() as cursor:
        return TABLE in connection.introspection.table_names(cursor)


def _cannot_make(connection: Any, task: str, exc: Exception) -> str:
    alias = connection.alias
    database = "" if alias == "default" else f" --database {alias}"
    return (
        f"{task}: the table {TABLE}, which atomic runs need, is missing in the database {alias!r} "
        f"and cannot be made ({exc}). Add 'celery_graceful.contrib.django' to INSTALLED_APPS and "
        f"run `manage.py migrate celery_graceful{database}` as a user who may create tables"
    )


def engine_without_rollback(connection: Any, table: str) -> str:
    """The engine of a table of MySQL or MariaDB if it cannot roll back; else an empty text."""
    with connection.cursor() as cursor:
        cursor.execute(_ENGINE, [table])
        found = cursor.fetchone()
    return "" if found is None or found[1] == "YES" else str(found[0])


def no_rollback(connection: Any, task: str, table: str, engine: str) -> str:
    """An error's text about such a table."""
    return (
        f"{task} is atomic, and the table {table} of the database {connection.alias!r} has the "
        f"engine {engine}, which cannot roll back: work and checkpoint cannot be committed "
        f"together. Convert it: ALTER TABLE {table} ENGINE=InnoDB"
    )


# -- parameters ------------------------------------------------------------------------------


def key(claim: Claim) -> list[Any]:
    """The parameters that name a run's row."""
    return [claim.namespace, claim.task, claim.id]


def row_values(row: Row, claim: Claim) -> list[Any]:
    """The parameters of :data:`INSERT` and :data:`REPLACE`."""
    return [
        *(row.fence, row.started, claim.execution, _bytes(row.checkpoint), row.steps),
        *(_bytes(row.result), row.updated_at, *key(claim)),
    ]


def mark_values(mark: Mark, claim: Claim, now: float) -> list[Any]:
    """The parameters of :data:`MARK`."""
    written = (_bytes(mark.checkpoint), mark.steps, _bytes(mark.result), now)
    return [*written, *key(claim), claim.execution]


def read_row(found: Any) -> Row:
    """What :data:`READ` found."""
    fence, started, checkpoint, steps, result, updated_at = found
    return Row(fence, started, _text(checkpoint), steps, _text(result), updated_at)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _text(data: Any) -> str | None:
    return None if data is None else bytes(data).decode()

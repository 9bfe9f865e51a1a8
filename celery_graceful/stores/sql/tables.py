"""The tables of the SQL store."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Dialect,
    Double,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    and_,
    bindparam,
    collate,
)
from sqlalchemy.dialects import mysql

metadata = MetaData()


class BytesOfText(TypeDecorator[str]):
    """Texts that MySQL compares byte by byte.

    Its default collations take "a" for "A", and those that do not still take "a" for "a ". The
    ones without that differ between MySQL and MariaDB.
    """

    impl = mysql.VARBINARY
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        """What is stored."""
        return None if value is None else value.encode()

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """What is read."""
        return None if value is None else bytes(value).decode()


def _name(length: int) -> String:
    # Up to four bytes for each character, as in a VARCHAR of utf8mb4.
    return String(length).with_variant(BytesOfText(4 * length), "mysql", "mariadb")


_KEY = _name(255)
_SHORT_KEY = _name(16)
#: As long as MySQL can have it beside the two others in one key.
_LONG_KEY = _name(490)
_BYTES = LargeBinary(2**32 - 1)
#: MySQL's TEXT ends at 64 kB.
_LONG_TEXT = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")

table = Table(
    "graceful_runs",
    metadata,
    Column("namespace", _KEY, primary_key=True),
    Column("task", _KEY, primary_key=True),
    Column("id", _KEY, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("owner", Text),
    Column("due_at", Double),
    Column("checkpoint", _BYTES),
    Column("steps", BigInteger, nullable=False),
    Column("requested", String(16)),
    Column("result", _BYTES),
    Column("envelope", _BYTES),
    Column("extra", _LONG_TEXT, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("expires_at", Double),
)

# Listings are read in the order of an index, so that a page of them costs the same among a million
# runs. Live runs have two, ended ones another.
_PARTIAL = ("postgresql", "sqlite")


def _partial(*_: Any, dialect: Dialect, **__: Any) -> bool:
    return dialect.name in _PARTIAL


def _not_postgresql(*_: Any, dialect: Dialect, **__: Any) -> bool:
    return dialect.name != "postgresql"


def _whole(*_: Any, dialect: Dialect, **__: Any) -> bool:
    return dialect.name not in _PARTIAL


_t = table.c
for _name_of, _when, _which in (
    ("graceful_runs_due", _t.due_at, _t.expires_at.is_(None)),
    ("graceful_runs_begun", _t.started_at, _t.expires_at.is_(None)),
    ("graceful_runs_expires", _t.expires_at, _t.expires_at.is_not(None)),
):
    Index(
        _name_of,
        *(_t.namespace, _when, _t.task, _t.id),
        postgresql_where=_which,
        sqlite_where=_which,
    ).ddl_if(callable_=_partial)
# By id, byte by byte, for those that are named by the first characters of it. SQLite and MySQL
# compare so anyway.
Index("graceful_runs_ids", _t.namespace, _t.id, _t.task).ddl_if(callable_=_not_postgresql)
Index("graceful_runs_ids", _t.namespace, collate(_t.id, "C"), _t.task).ddl_if("postgresql")
# MySQL has no partial ones, and the key of a row follows in each index by itself.
Index("graceful_runs_due", _t.namespace, _t.expires_at, _t.due_at).ddl_if(callable_=_whole)
Index("graceful_runs_begun", _t.namespace, _t.expires_at, _t.started_at).ddl_if(callable_=_whole)
Index("graceful_runs_expires", _t.namespace, _t.expires_at).ddl_if(callable_=_whole)

quarantined = Table(
    "graceful_quarantined_items",
    metadata,
    Column("namespace", _KEY, primary_key=True),
    Column("task", _KEY, primary_key=True),
    Column("id", _KEY, primary_key=True),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", _BYTES, nullable=False),
)

# A row for each run that has any: a million items are kept longer, or expire, by one write.
quarantine_expiry = Table(
    "graceful_quarantine_expiry",
    metadata,
    Column("namespace", _KEY, primary_key=True),
    Column("task", _KEY, primary_key=True),
    Column("id", _KEY, primary_key=True),
    Column("expires_at", Double, nullable=False),
    Index("graceful_quarantine_expires", "namespace", "expires_at"),
)

# Few rows, most of them written every few seconds: no index but the key.
texts = Table(
    "graceful_texts",
    metadata,
    Column("namespace", _KEY, primary_key=True),
    Column("kind", _SHORT_KEY, primary_key=True),
    Column("name", _LONG_KEY, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("text", _BYTES, nullable=False),
    Column("written_at", Double, nullable=False),
    Column("expires_at", Double),
)


def of_run(which: Table) -> ColumnElement[bool]:
    """The rows of the run that the parameters ``ns``, ``run_task`` and ``run_id`` name."""
    return and_(
        which.c.namespace == bindparam("ns"),
        which.c.task == bindparam("run_task"),
        which.c.id == bindparam("run_id"),
    )


def id_in_bytes(dialect: str) -> ColumnElement[str]:
    """The column of ids, compared byte by byte, as its index has it."""
    return collate(_t.id, "C") if dialect == "postgresql" else _t.id


#: In the order of :func:`celery_graceful.stores.codec.record_of`.
RECORD_COLUMNS = (
    _t.version,
    _t.state,
    _t.fence,
    _t.owner,
    _t.due_at,
    _t.checkpoint,
    _t.steps,
    _t.requested,
    _t.result,
    _t.envelope,
    _t.extra,
    _t.ended_at,
)

"""The tables of the SQL store, and every statement on that of runs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Double,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    extract,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import mysql

from celery_graceful.model.record import State

__all__ = [
    "RECORD_COLUMNS",
    "Statements",
    "metadata",
    "notices",
    "quarantine_expiry",
    "quarantined",
    "reports",
    "table",
]

metadata = MetaData()


# Compared byte by byte everywhere; MySQL would otherwise take "a" for "A".
def _name(length: int) -> String:
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return String(length).with_variant(binary, "mysql", "mariadb")


_KEY = _name(255)
#: As long as MySQL can have it beside a namespace in one key.
_LONG_KEY = _name(500)
_BYTES = LargeBinary(2**32 - 1)

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
    Column("extra", Text, nullable=False),
    Column("expires_at", Double),
    Index("graceful_runs_due", "namespace", "due_at"),
    Index("graceful_runs_expires", "namespace", "expires_at"),
)

quarantined = Table(
    "graceful_quarantined_items",
    metadata,
    Column("namespace", _KEY, primary_key=True),
    Column("task", _KEY, primary_key=True),
    Column("id", _KEY, primary_key=True),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", _BYTES, nullable=False),
)

# A row for each run that has any: a million items are kept longer, or are over, by one write.
quarantine_expiry = Table(
    "graceful_quarantine_expiry",
    metadata,
    Column("namespace", _KEY, primary_key=True),
    Column("task", _KEY, primary_key=True),
    Column("id", _KEY, primary_key=True),
    Column("expires_at", Double, nullable=False),
    Index("graceful_quarantine_expires", "namespace", "expires_at"),
)

notices = Table(
    "graceful_notices",
    metadata,
    Column("namespace", _KEY, primary_key=True),
    Column("name", _LONG_KEY, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("text", _BYTES, nullable=False),
)

# Few rows, each written every few seconds: no index but the key.
reports = Table(
    "graceful_reports",
    metadata,
    Column("namespace", _KEY, primary_key=True),
    Column("worker", _LONG_KEY, primary_key=True),
    Column("report", _BYTES, nullable=False),
    Column("written_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
)

_t = table.c
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
    _t.expires_at,
)
_WRITTEN = (
    "state",
    "fence",
    "owner",
    "checkpoint",
    "steps",
    "requested",
    "result",
    "envelope",
    "extra",
)


class Statements:
    """The statements of one dialect.

    PostgreSQL tells the time itself; elsewhere ``now`` is a parameter of every statement.

    Args:
        dialect: The name of SQLAlchemy's dialect.
    """

    def __init__(self, dialect: str) -> None:
        self.tells_time = dialect == "postgresql"
        self.clock = (
            _server_time("clock_timestamp") if self.tells_time else bindparam("now", type_=Double)
        )
        # When the statement began: the time itself changes while it runs, so no index serves a
        # comparison with that, and a look would read every run.
        self.moment = _server_time("statement_timestamp") if self.tells_time else self.clock
        now, moment = self.clock, self.moment
        alive = or_(_t.expires_at.is_(None), _t.expires_at > now)
        expired = and_(_t.namespace == bindparam("ns"), _t.expires_at <= moment)
        mine = and_(
            _t.namespace == bindparam("ns"),
            _t.task == bindparam("run_task"),
            _t.id == bindparam("run_id"),
        )
        listed = and_(_t.namespace == bindparam("ns"), alive)
        page: dict[str, Any] = {"limit": bindparam("count"), "offset": bindparam("first")}

        self.now = select(now)
        self.load = select(now, *RECORD_COLUMNS).where(mine, alive)
        self.replace = self.telling(
            update(table)
            .where(mine, alive, _t.version == bindparam("expected"))
            .values(**self._written())
        )
        self.revive = self.telling(
            update(table).where(mine, _t.expires_at <= now).values(**self._written())
        )
        self.insert = self.telling(
            insert(table).values(
                namespace=bindparam("ns"),
                task=bindparam("run_task"),
                id=bindparam("run_id"),
                **self._written(),
            )
        )
        self.checkpoint = (
            update(table)
            .where(
                mine,
                alive,
                _t.state == State.RUNNING.value,
                _t.fence == bindparam("expected_fence"),
            )
            .values(
                checkpoint=bindparam("new_checkpoint"),
                steps=bindparam("new_steps"),
                due_at=now + bindparam("due_in", type_=Double),
                version=_t.version + 1,
            )
        )
        self.requested = select(_t.version, _t.requested).where(
            mine, _t.fence == bindparam("expected_fence")
        )
        self.beat = (
            update(table)
            .where(
                _t.namespace == bindparam("ns"),
                _t.task == bindparam("run_task"),
                _t.id.in_(bindparam("run_ids", expanding=True)),
                _t.owner == bindparam("holder"),
                _t.state.in_([State.RUNNING.value, State.FINISHING.value]),
                alive,
            )
            .values(due_at=now + bindparam("due_in", type_=Double), version=_t.version + 1)
        )
        self.due = (
            select(_t.task, _t.id, *RECORD_COLUMNS)
            .where(listed, _t.due_at <= moment)
            .order_by(_t.due_at, _t.task, _t.id)
            .limit(page["limit"])
            .offset(page["offset"])
        )
        self.live = (
            select(_t.task, _t.id, *RECORD_COLUMNS)
            .where(_t.namespace == bindparam("ns"), _t.expires_at.is_(None))
            .order_by(_t.due_at.is_(None), _t.due_at, _t.task, _t.id)
            .limit(page["limit"])
            .offset(page["offset"])
        )
        self.ended = (
            select(_t.task, _t.id, *RECORD_COLUMNS)
            .where(_t.namespace == bindparam("ns"), _t.expires_at > moment)
            .order_by(_t.expires_at.desc(), _t.task, _t.id)
            .limit(page["limit"])
            .offset(page["offset"])
        )
        self.expired = select(_t.task, _t.id).where(expired).limit(bindparam("count"))
        self.forget = delete(table).where(mine, expired)
        # Touches nothing, and is still refused where writing is.
        self.probe = update(table).where(mine, _t.version < 0).values(version=0)

    def telling(self, statement: Any) -> Any:
        """``statement``, answering the time if the database tells it."""
        return statement.returning(self.clock) if self.tells_time else statement

    def write(
        self, connection: Connection, statement: Any, parameters: dict[str, Any]
    ) -> float | None:
        """Execute what :meth:`telling` made; returns the time, ``None`` if no row was written."""
        result = connection.execute(statement, parameters)
        if self.tells_time:
            now: float | None = result.scalar_one_or_none()
            return now
        return parameters["now"] if result.rowcount == 1 else None

    def _written(self) -> dict[str, Any]:
        now = self.clock
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in _WRITTEN}
        values["version"] = bindparam("new_version")
        values["due_at"] = now + bindparam("due_in", type_=Double)
        values["expires_at"] = now + bindparam("keep", type_=Double)
        return values


def _server_time(of: str) -> ColumnElement[float]:
    return cast(extract("epoch", getattr(func, of)()), Double)

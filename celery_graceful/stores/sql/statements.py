"""The statements of the SQL store on single runs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
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

from celery_graceful.model.run.record import State
from celery_graceful.stores.sql.tables import RECORD_COLUMNS, table

_t = table.c
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
        self.dialect = dialect
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

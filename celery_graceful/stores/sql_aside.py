"""Items put aside, in a table of a SQL database."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Double,
    LargeBinary,
    and_,
    bindparam,
    delete,
    exists,
    insert,
    select,
    update,
)

from celery_graceful.model.record import State
from celery_graceful.stores.codec import text, utf8
from celery_graceful.stores.sql_statements import Statements, aside, table

__all__ = ["SqlAside"]

_a, _t = aside.c, table.c


class SqlAside:
    """The statements on the table ``graceful_aside``, and what is asked of them.

    Args:
        statements: Those of the store, which know the time.
    """

    def __init__(self, statements: Statements) -> None:
        now = statements.clock
        mine = and_(
            _a.namespace == bindparam("ns"),
            _a.task == bindparam("run_task"),
            _a.id == bindparam("run_id"),
        )
        until = now + bindparam("keep", type_=Double)
        carried = select(
            _t.namespace,
            _t.task,
            _t.id,
            bindparam("ordinal", type_=BigInteger),
            bindparam("entry", type_=LargeBinary),
            until,
        ).where(
            _t.namespace == bindparam("ns"),
            _t.task == bindparam("run_task"),
            _t.id == bindparam("run_id"),
            _t.state == State.RUNNING.value,
            _t.fence == bindparam("expected_fence"),
        )
        self._insert = (
            insert(aside)
            .from_select([c.name for c in aside.columns], carried)
            .execution_options(preserve_rowcount=True)
        )
        self._delete = delete(aside).where(mine, _a.ordinal == bindparam("at"))
        self._delete_guarded = self._delete.where(
            exists().where(
                _t.namespace == _a.namespace,
                _t.task == _a.task,
                _t.id == _a.id,
                _t.state == State.RUNNING.value,
                _t.fence == bindparam("expected_fence"),
            )
        )
        self._prolong = update(aside).where(mine, _a.expires_at > now).values(expires_at=until)
        self._list = (
            select(_a.ordinal, _a.entry)
            .where(mine, _a.ordinal >= bindparam("first"), _a.expires_at > now)
            .order_by(_a.ordinal)
            .limit(bindparam("count"))
        )
        self._forget = delete(aside).where(
            _a.namespace == bindparam("ns"), _a.expires_at <= statements.moment
        )

    def put(
        self,
        connection: Connection,
        of: dict[str, Any],
        fence: int,
        ordinal: int,
        entry: str,
        keep: float,
    ) -> bool:
        """Keep an entry while the fence stands; returns whether it stood."""
        guard = {"expected_fence": fence}
        connection.execute(self._delete_guarded, {**of, **guard, "at": ordinal})
        given = {"expected_fence": fence, "ordinal": ordinal, "entry": utf8(entry), "keep": keep}
        kept = connection.execute(self._insert, {**of, **given}).rowcount == 1
        if kept:
            self.keep(connection, of, keep)
        return kept

    def listing(
        self, connection: Connection, of: dict[str, Any], first: int, limit: int
    ) -> list[tuple[int, str]]:
        """Entries by their ordinals."""
        page = {**of, "first": first, "count": max(limit, 0)}
        return [(row.ordinal, text(row.entry)) for row in connection.execute(self._list, page)]

    def drop(
        self,
        connection: Connection,
        of: dict[str, Any],
        ordinals: Collection[int],
        fence: int | None,
    ) -> None:
        """Forget entries, if the fence (``None``: whatever it is) stands."""
        if not ordinals:
            return
        statement = self._delete if fence is None else self._delete_guarded
        guard = {} if fence is None else {"expected_fence": fence}
        connection.execute(statement, [{**of, **guard, "at": ordinal} for ordinal in ordinals])

    def keep(self, connection: Connection, of: dict[str, Any], keep: float) -> None:
        """Keep the entries for so many seconds more."""
        connection.execute(self._prolong, {**of, "keep": keep})

    def forget(self, connection: Connection, parameters: dict[str, Any]) -> None:
        """Delete those whose time is over."""
        connection.execute(self._forget, parameters)

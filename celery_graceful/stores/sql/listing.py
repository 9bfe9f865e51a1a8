"""Listings of runs in a SQL database: read in the order of an index, page by page.

A page begins behind the row that the last one ended with. With OFFSET the database would read all
pages before it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    String,
    bindparam,
    or_,
    select,
    tuple_,
)

from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.stores.base import Listed, Place
from celery_graceful.stores.codec import Unreadable, record_of
from celery_graceful.stores.paging import AT_ONCE, Entry, Page, collect
from celery_graceful.stores.sql.calls import SqlCalls
from celery_graceful.stores.sql.tables import RECORD_COLUMNS, id_in_bytes, table

_t = table.c
#: The last character that there is.
_LAST = chr(0x10FFFF)


class _Walk:
    """The statements that read runs in one order: the first page, and those behind a row.

    Args:
        which: The rows to read.
        by: The columns that order them; with the namespace and ``which``, those of an index.
        descending: Whether the greatest comes first.
    """

    def __init__(
        self,
        which: ColumnElement[bool],
        *by: ColumnElement[Any],
        descending: bool = False,
    ) -> None:
        order = [column.desc() for column in by] if descending else by
        self._names = [f"after_{number}" for number in range(len(by))]
        self._by = by
        there: ColumnElement[Any] = tuple_(*by)
        last = tuple_(
            *(
                bindparam(name, type_=column.type)
                for name, column in zip(self._names, by, strict=True)
            )
        )
        self.first: Select[Any] = (
            select(_t.task, _t.id, _t.started_at, _t.expires_at, *RECORD_COLUMNS)
            .where(_t.namespace == bindparam("ns"), which)
            .order_by(*order)
            .limit(bindparam("count"))
        )
        self.onward = self.first.where(there < last if descending else there > last)

    def page(
        self, connection: Connection, given: dict[str, Any], after: tuple[Any, ...] | None
    ) -> tuple[list[Row[Any]], tuple[Any, ...] | None]:
        """The rows behind ``after``, and the key of the last of them; ``None``: it is the end."""
        if after is not None:
            given = {**given, **dict(zip(self._names, after, strict=True))}
        statement = self.first if after is None else self.onward
        rows = list(connection.execute(statement, given))
        if len(rows) < given["count"]:
            return rows, None
        return rows, tuple(rows[-1]._mapping[column] for column in self._by)


class SqlListing(SqlCalls):
    """What a store answers about many runs at once."""

    def __init__(self, engine: Engine, namespace: str, *, address: str) -> None:
        super().__init__(engine, namespace, address=address)
        live, now = _t.expires_at.is_(None), self._moment
        self._time_now = select(self._now)
        key = (_t.task, _t.id)
        self._due_runs = _Walk(live & (_t.due_at <= now), _t.due_at, *key)
        self._live_runs = _Walk(live, _t.started_at, *key)
        self._ended_runs = _Walk(_t.expires_at > now, _t.expires_at, *key, descending=True)
        run_id = id_in_bytes(self._dialect.name)
        self._named_runs = (
            select(_t.task, _t.id)
            .where(
                _t.namespace == bindparam("ns"),
                run_id >= bindparam("first", type_=String),
                run_id < bindparam("beyond", type_=String),
                tuple_(run_id, _t.task)
                > tuple_(
                    bindparam("after_id", type_=String), bindparam("after_task", type_=String)
                ),
                or_(_t.expires_at.is_(None), _t.expires_at > now),
            )
            .order_by(run_id, _t.task)
            .limit(bindparam("count"))
        )

    def due(self, limit: int) -> list[tuple[RunKey, Record]]:
        with self._connected("the runs that are due") as connection:
            due = collect(limit, self._pages(connection, self._due_runs))
        return [(key, record) for key, record, _ in due]

    def live(self, limit: int, after: Place | None = None) -> list[Listed]:
        with self._connected("the list of runs") as connection:
            return collect(limit, self._pages(connection, self._live_runs), _key(after))

    def ended(self, limit: int, after: Place | None = None) -> list[Listed]:
        with self._connected("the list of ended runs") as connection:
            return collect(limit, self._pages(connection, self._ended_runs), _key(after))

    def named(self, prefix: str, limit: int) -> list[RunKey]:
        found: list[RunKey] = []
        given = {**self._given(), "first": prefix, "beyond": prefix + _LAST}
        after = {"after_id": "", "after_task": ""}
        with self._connected("the ids of runs") as connection:
            while (count := min(limit - len(found), AT_ONCE)) > 0:
                rows = connection.execute(
                    self._named_runs, {**given, **after, "count": count}
                ).all()
                found += [RunKey(row.task, row.id) for row in rows]
                if len(rows) < count:
                    break
                after = {"after_id": found[-1].id, "after_task": found[-1].task}
        return found

    def _pages(
        self, connection: Connection, walk: _Walk
    ) -> Callable[[tuple[Any, ...] | None, int], Page]:
        given = self._given()

        def fetch(after: tuple[Any, ...] | None, count: int) -> Page:
            rows, after = walk.page(connection, {**given, "count": count}, after)
            return Page([self._entry(row) for row in rows], after)

        return fetch

    def _entry(self, row: Row[Any]) -> Entry:
        at = row.started_at if row.expires_at is None else row.expires_at
        return self._entry_of(RunKey(row.task, row.id), at, row[4:])

    def _entry_of(self, run: RunKey, at: float, parts: Sequence[Any]) -> Entry:
        try:
            return Listed(run, record_of(parts), at)
        except Unreadable as exc:
            self._skipped.warn(f"{run} of graceful_runs", exc)
            return None


def _key(after: Place | None) -> tuple[Any, ...] | None:
    return None if after is None else (after[0], *after[1])

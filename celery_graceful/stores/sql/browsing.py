"""Tabs of runs in a SQL database: counts, and listings that leave out what is not looked for."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    LargeBinary,
    Row,
    Select,
    bindparam,
    cast,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from celery_graceful.model.run.record import RunKey
from celery_graceful.stores.base import Place
from celery_graceful.stores.paging import AT_ONCE
from celery_graceful.stores.sql.listing import SqlListing
from celery_graceful.stores.sql.tab_indexes import contains, place_in
from celery_graceful.stores.sql.tables import RECORD_COLUMNS, table
from celery_graceful.stores.tabs import ANY, LOOKS, Counts, Only, Part, Tab

_t = table.c
#: How far runs are counted: that takes a database some milliseconds.
MOST_COUNTED: Final = 100_000


class SqlBrowsing(SqlListing):
    """What a store does for its tabs."""

    def __init__(self, engine: Engine, namespace: str, *, address: str) -> None:
        super().__init__(engine, namespace, address=address)
        self._tabs = {tab: _Tab(tab, self._dialect.name, self._moment) for tab in Tab}
        self._count_runs = select(*(each.count() for each in self._tabs.values()))

    def counts(self) -> Counts:
        """How many runs there are; each number up to 100,000."""
        with self._connected("the number of runs") as connection:
            row = connection.execute(self._count_runs, self._given()).one()
        found = dict(zip(self._tabs, row, strict=True))
        live, paused, failed, ended = (
            min(found[tab], MOST_COUNTED) for tab in (Tab.LIVE, Tab.PAUSED, Tab.FAILED, Tab.ENDED)
        )
        names = {"active": Tab.LIVE, "paused": Tab.PAUSED, "failed": Tab.FAILED, "ended": Tab.ENDED}
        at_least = tuple(name for name, tab in names.items() if found[tab] > MOST_COUNTED)
        return Counts(max(0, live - paused), paused, failed, ended, at_least)

    def browse(self, tab: Tab, limit: int, after: Place | None = None, only: Only = ANY) -> Part:
        limit = min(limit, AT_ONCE)
        which = self._tabs[tab]
        with self._connected("the list of runs") as connection:
            until = None
            if only != ANY:
                # Up to which row it looks: the conditions are on no index.
                until = self._place(connection, which.behind(after), LOOKS - 1)
            wanted = which.behind(after, until).add_columns(self._moment, *RECORD_COLUMNS)
            wanted = wanted.where(*self._conditions(only)).limit(limit)
            rows = connection.execute(wanted, self._given()).all()
            now = (
                rows[0][3]
                if rows
                else connection.execute(self._time_now, self._clock()).scalar_one()
            )
        entries = (self._entry_of(RunKey(*row[1:3]), row[0], row[4:]) for row in rows)
        found = [entry for entry in entries if entry is not None]
        if len(rows) == limit:
            until = _place_of(rows[-1])
        return Part(found, until, now)

    def _place(self, connection: Connection, wanted: Select[Any], behind: int) -> Place | None:
        row = connection.execute(wanted.limit(1).offset(behind), self._given()).one_or_none()
        return None if row is None else _place_of(row)

    def _conditions(self, only: Only) -> list[ColumnElement[bool]]:
        """``only`` in SQL."""
        dialect = self._dialect.name
        found: list[ColumnElement[bool]] = []
        if only.task:
            found.append(_t.task == only.task)
        if only.states:
            found.append(_t.state.in_(sorted(state.value for state in only.states)))
        if only.outcome is not None:
            mark = f'"outcome":"{only.outcome.value}"'
            found.append(contains(_t.extra, literal(mark), dialect))
        if only.worker:
            begin = only.worker + "/"
            starts = func.substr(_t.owner, 1, len(begin)) == begin
            found.append(or_(_t.owner == only.worker, starts))
        if only.extra:
            found.append(contains(_t.extra, literal(only.extra), dialect))
        if only.text and only.text.isascii() and dialect in ("postgresql", "sqlite"):
            found.append(_has_text(only.text.lower(), dialect))
        if only.since:
            found.append(_t.started_at >= only.since)
        if only.enveloped:
            found.append(_t.envelope.is_not(None))
        return found


class _Tab:
    """The statements of one tab."""

    def __init__(self, tab: Tab, dialect: str, now: ColumnElement[float]) -> None:
        which, self._at = place_in(tab, dialect, now)
        self._which = (_t.namespace == bindparam("ns")) & which
        self._back = tab in (Tab.FAILED, Tab.ENDED)
        self._place = tuple_(self._at, _t.task, _t.id)

    def count(self) -> Any:
        """How many there are, up to one more than are counted."""
        rows = select(_t.id).where(self._which).limit(MOST_COUNTED + 1).subquery()
        return select(func.count()).select_from(rows).scalar_subquery()

    def behind(self, after: Place | None, until: Place | None = None) -> Select[Any]:
        """Time, task and id of the runs behind a place, up to another one, in order."""
        columns = (self._at, _t.task, _t.id)
        order = [column.desc() for column in columns] if self._back else columns
        wanted = select(*columns).where(self._which).order_by(*order)
        if after is not None:
            there = self._tuple(after)
            wanted = wanted.where(self._place < there if self._back else self._place > there)
        if until is not None:
            there = self._tuple(until)
            wanted = wanted.where(self._place >= there if self._back else self._place <= there)
        return wanted

    def _tuple(self, place: Place) -> Any:
        at, (task, id) = place
        return tuple_(
            literal(at, _t.started_at.type), literal(task, _t.task.type), literal(id, _t.id.type)
        )


def _place_of(row: Row[Any]) -> Place:
    at, task, run_id, *_ = tuple(row)
    return at, RunKey(task, run_id)


def _has_text(text: str, dialect: str) -> ColumnElement[bool]:
    """Whether ``task[id] owner`` has an ASCII text, in any case; other letters may hide it."""
    name = _t.task.concat("[").concat(_t.id).concat("] ").concat(func.coalesce(_t.owner, ""))
    if dialect == "postgresql":
        size: Any = func.octet_length(name)
    else:
        size = func.length(cast(name, LargeBinary))
    return or_(contains(func.lower(name), literal(text), dialect), func.length(name) != size)

"""Quarantined items in a SQL database: a row each, and a row for each run with their expiry.

Whatever concerns many rows is done in steps of a few hundred, each a statement of its own, so that
no lock and no transaction lasts long.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Double,
    Engine,
    LargeBinary,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    not_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from celery_graceful.model.run.record import RunKey, State
from celery_graceful.stores.codec import text, utf8
from celery_graceful.stores.sql.calls import SqlCalls
from celery_graceful.stores.sql.tables import of_run, quarantine_expiry, quarantined, table

#: Rows that one statement deletes at most; SQLite takes few parameters in old versions.
_AT_ONCE = 500
#: Entries that one statement reads, and that it counts.
_READ_AT_ONCE, _COUNTED_AT_ONCE = 250, 5_000
#: Runs whose rows one sweep deletes, a step of each.
_RUNS_AT_ONCE = 5
#: An expiry that has to move is moved by so much more.
_AHEAD = 1.01
#: The greatest ordinal a row can have.
_LAST = 2**63 - 1

_q, _e, _t = quarantined.c, quarantine_expiry.c, table.c


class SqlQuarantine(SqlCalls):
    """What a store does for quarantined items."""

    def __init__(self, engine: Engine, namespace: str, *, address: str) -> None:
        super().__init__(engine, namespace, address=address)
        #: Where the sweep of an expired run continues, by the run and the time it expired.
        self._swept: dict[tuple[str, str, float], int] = {}
        now = self._now
        until = now + bindparam("keep", type_=Double)
        running = and_(
            of_run(table), _t.state == State.RUNNING.value, _t.fence == bindparam("expected_fence")
        )
        owned = exists().where(running)
        alive = exists().where(of_run(quarantine_expiry), _e.expires_at > now)
        ordinal, entry = bindparam("at", type_=BigInteger), bindparam("entry", type_=LargeBinary)
        mine, from_first = of_run(quarantined), _q.ordinal >= bindparam("first", type_=BigInteger)
        key = (_t.namespace, _t.task, _t.id)

        held = and_(of_run(quarantine_expiry), _e.expires_at > now)
        self._keep_items = update(quarantine_expiry).where(held).values(expires_at=until)
        # A little more than asked for, so that not every item writes this row.
        more = now + bindparam("keep", type_=Double) * _AHEAD
        self._prolong_items = (
            update(quarantine_expiry)
            .where(held, _e.expires_at < until, owned)
            .values(expires_at=more)
        )
        self._begin_items = insert(quarantine_expiry).from_select(
            [c.name for c in quarantine_expiry.columns], select(*key, until).where(running)
        )
        self._insert_items = insert(quarantined).from_select(
            [c.name for c in quarantined.columns],
            select(*key, ordinal, entry).where(running, alive),
        )
        self._replace_items = (
            update(quarantined).where(mine, _q.ordinal == ordinal, owned).values(entry=entry)
        )
        self._list_items = (
            select(_q.ordinal, _q.entry)
            .where(mine, from_first, alive)
            .order_by(_q.ordinal)
            .limit(bindparam("count"))
        )
        counted = (
            select(_q.ordinal)
            .where(mine, from_first, alive)
            .order_by(_q.ordinal)
            .limit(bindparam("count"))
        ).subquery()
        self._count_items = select(func.count(), func.max(counted.c.ordinal))
        self._next_items = (
            select(_q.ordinal)
            .where(mine, from_first, _q.ordinal <= bindparam("last", type_=BigInteger))
            .order_by(_q.ordinal)
            .limit(bindparam("count"))
        )
        # With a range as well: PostgreSQL takes it to the index, and the list as a rule only when
        # it knows by its statistics that the run has many.
        gone = delete(quarantined).where(
            mine,
            _q.ordinal.between(
                bindparam("least", type_=BigInteger), bindparam("most", type_=BigInteger)
            ),
            _q.ordinal.in_(bindparam("gone", expanding=True)),
        )
        self._delete_items, self._delete_owned_items, self._delete_expired_items = (
            gone,
            gone.where(owned),
            gone.where(not_(alive)),
        )
        self._expired_items = (
            select(_e.task, _e.id, _e.expires_at)
            .where(_e.namespace == bindparam("ns"), _e.expires_at <= self._moment)
            .limit(bindparam("count"))
        )
        self._forget_items = delete(quarantine_expiry).where(
            of_run(quarantine_expiry), _e.expires_at <= now
        )

    def quarantine(self, run: RunKey, fence: int, ordinal: int, entry: str, *, keep: float) -> bool:
        owner = {**self._of(run), "expected_fence": fence}
        row = {**owner, "at": ordinal, "entry": utf8(entry)}
        with self._connected(str(run)) as connection:
            connection.execute(self._prolong_items, {**owner, "keep": keep})
            return self._write_item(connection, row) or (
                self._opened(connection, {**owner, "keep": keep})
                and self._write_item(connection, row)
            )

    def _write_item(self, connection: Connection, row: dict[str, Any]) -> bool:
        try:
            return _written(connection, self._insert_items, row)
        except IntegrityError:
            return _written(connection, self._replace_items, row)

    def _opened(self, connection: Connection, given: dict[str, Any]) -> bool:
        """Begin the run's list, without what an expired run of the same id has left."""
        at: int | None = -_LAST
        while at is not None:
            at = self._forget_some(connection, given, at)
        try:
            return _written(connection, self._begin_items, given)
        except IntegrityError:
            return True  # another thread has begun it meanwhile

    def quarantined(self, run: RunKey, first: int, limit: int) -> list[tuple[int, str]]:
        entries: list[tuple[int, str]] = []
        with self._connected(str(run)) as connection:
            while len(entries) < limit:
                wanted = min(limit - len(entries), _READ_AT_ONCE)
                page = {**self._of(run), "first": first, "count": wanted}
                rows = connection.execute(self._list_items, page).all()
                entries += [(row.ordinal, text(row.entry)) for row in rows]
                if len(rows) < wanted:
                    break
                first = entries[-1][0] + 1
        return entries

    def count_quarantined(self, run: RunKey, first: int, limit: int) -> int:
        count = 0
        with self._connected(str(run)) as connection:
            while count < limit:
                wanted = min(limit - count, _COUNTED_AT_ONCE)
                page = {**self._of(run), "first": first, "count": wanted}
                found, last = connection.execute(self._count_items, page).one()
                count += found
                if found < wanted:
                    break
                first = last + 1
        return count

    def drop_quarantined(self, run: RunKey, ordinals: Collection[int]) -> None:
        gone = sorted(ordinals)
        with self._connected(str(run)) as connection:
            for first in range(0, len(gone), _AT_ONCE):
                self._drop(connection, self._of(run), gone[first : first + _AT_ONCE], None)

    def drop_quarantined_range(
        self, run: RunKey, first: int, last: int | None = None, *, fence: int | None = None
    ) -> None:
        at, until = first, _LAST if last is None else last
        with self._connected(str(run)) as connection:
            of = self._of(run)
            while gone := self._some(connection, of, at, until):
                if not self._drop(connection, of, gone, fence) and fence is not None:
                    return
                at = gone[-1] + 1

    def expire_quarantined(self, run: RunKey, *, keep: float) -> None:
        with self._connected(str(run)) as connection:
            connection.execute(self._keep_items, {**self._of(run), "keep": keep})

    def _forget_quarantined(self, connection: Connection, parameters: dict[str, Any]) -> bool:
        """Delete some that have expired; returns whether there are more."""
        page = {**parameters, "count": _RUNS_AT_ONCE}
        swept: dict[tuple[str, str, float], int] = {}
        for task, id_, expires_at in connection.execute(self._expired_items, page).all():
            of, head = {**parameters, "run_task": task, "run_id": id_}, (task, id_, expires_at)
            onward = self._forget_some(connection, of, self._swept.get(head, -_LAST))
            if onward is not None:
                swept[head] = onward
        self._swept = swept
        return bool(swept)

    def _forget_some(self, connection: Connection, of: dict[str, Any], first: int) -> int | None:
        """Delete a step of a run's expired entries; returns where to continue.

        From the beginning, a database that keeps deleted rows for a while, as PostgreSQL does,
        would read all of them again at each step.
        """
        gone = self._some(connection, of, first, _LAST)
        if gone:
            connection.execute(self._delete_expired_items, _these(of, gone))
        if len(gone) == _AT_ONCE:  # also where another worker has just deleted these
            return gone[-1] + 1
        connection.execute(self._forget_items, of)
        return None

    def _some(self, connection: Connection, of: dict[str, Any], first: int, last: int) -> list[int]:
        page = {**of, "first": first, "last": last, "count": _AT_ONCE}
        return list(connection.execute(self._next_items, page).scalars())

    def _drop(
        self, connection: Connection, of: dict[str, Any], gone: list[int], fence: int | None
    ) -> bool:
        given = _these(of, gone)
        if fence is None:
            return _written(connection, self._delete_items, given)
        return _written(connection, self._delete_owned_items, {**given, "expected_fence": fence})


def _these(of: dict[str, Any], ordinals: list[int]) -> dict[str, Any]:
    return {**of, "gone": ordinals, "least": ordinals[0], "most": ordinals[-1]}


def _written(connection: Connection, statement: Any, parameters: dict[str, Any]) -> bool:
    options = {"preserve_rowcount": True}  # SQLAlchemy drops that of an INSERT otherwise
    return connection.execute(statement, parameters, execution_options=options).rowcount > 0

"""The records of runs in a SQL database: a row each.

Every operation is one statement in autocommit mode, so atomic.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    Connection,
    Double,
    Engine,
    and_,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from celery_graceful.model.run.record import Record, RunKey, State
from celery_graceful.stores.base import Flushed, Found, Swapped, next_version
from celery_graceful.stores.codec import Unreadable, extra_of, record_of, request_of, utf8
from celery_graceful.stores.sql.calls import SqlCalls
from celery_graceful.stores.sql.tables import RECORD_COLUMNS, of_run, table

#: Runs per statement; SQLite takes few parameters in old versions.
_RENEWED_AT_ONCE = 200

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
    "started_at",
)


class SqlRuns(SqlCalls):
    """What a store does for the records of runs."""

    def __init__(self, engine: Engine, namespace: str, *, address: str) -> None:
        super().__init__(engine, namespace, address=address)
        now = self._now
        alive = or_(_t.expires_at.is_(None), _t.expires_at > now)
        expired = and_(_t.namespace == bindparam("ns"), _t.expires_at <= self._moment)
        mine = of_run(table)
        written: dict[str, Any] = {name: bindparam(f"new_{name}") for name in _WRITTEN}
        written["version"] = bindparam("new_version")
        written["due_at"] = now + bindparam("due_in", type_=Double)
        written["ended_at"] = now + bindparam("ended", type_=Double)  # 0, or NULL: not ended
        written["expires_at"] = now + bindparam("keep", type_=Double)
        self._time = select(now)
        self._load_run = select(now, *RECORD_COLUMNS).where(mine, alive)
        self._replace_run = self._timed(
            update(table).where(mine, alive, _t.version == bindparam("expected")).values(**written)
        )
        self._revive_run = self._timed(
            update(table).where(mine, _t.expires_at <= now).values(**written)
        )
        self._insert_run = self._timed(
            insert(table).values(
                namespace=bindparam("ns"),
                task=bindparam("run_task"),
                id=bindparam("run_id"),
                **written,
            )
        )
        self._checkpoint_run = (
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
        self._requested_run = select(_t.version, _t.requested).where(
            mine, _t.fence == bindparam("expected_fence")
        )
        self._renew_runs = (
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
        self._expired_runs = select(_t.task, _t.id).where(expired).limit(bindparam("count"))
        self._forget_run = delete(table).where(mine, expired)
        # Touches nothing, and is still refused where writing is.
        self._probe_run = update(table).where(mine, _t.version < 0).values(version=0)

    def load(self, run: RunKey) -> Found:
        with self._connected(str(run)) as connection:
            return self._load(connection, run)

    def swap(
        self,
        run: RunKey,
        expected: int,
        record: Record,
        *,
        due_in: float | None = None,
        keep: float | None = None,
    ) -> Swapped:
        version = next_version(expected, record)
        parameters = {
            **self._of(run),
            **_parameters_of(record),
            "new_version": version,
            "due_in": due_in if keep is None else None,
            "ended": None if keep is None else 0.0,
            "keep": keep,
        }
        with self._connected(str(run)) as connection:
            if expected:
                parameters["expected"] = expected
                now = self._write(connection, self._replace_run, parameters)
            else:
                now = self._begin(connection, parameters)
            if now is None:
                there = self._load(connection, run)
                return Swapped(False, there.now, record=there.record)
        return Swapped(True, now, version)

    def checkpoint(
        self, run: RunKey, fence: int, checkpoint: str, steps: int, *, due_in: float
    ) -> Flushed:
        parameters = {
            **self._of(run),
            "expected_fence": fence,
            "new_checkpoint": utf8(checkpoint),
            "new_steps": steps,
            "due_in": due_in,
        }
        with self._connected(str(run)) as connection:
            if self._dialect.update_returning:
                statement = self._checkpoint_run.returning(table.c.version, table.c.requested)
                row = connection.execute(statement, parameters).one_or_none()
            elif connection.execute(self._checkpoint_run, parameters).rowcount:
                row = connection.execute(self._requested_run, parameters).one_or_none()
            else:
                row = None
            if row is None:
                there = connection.execute(self._load_run, self._of(run)).one_or_none()
                return Flushed(False, gone=there is None)
        try:
            return Flushed(True, row.version, request_of(row.requested))
        except Unreadable as exc:
            raise self._corrupt(run, exc) from exc

    def renew(self, owner: str, runs: Collection[RunKey], *, due_in: float) -> None:
        ids = defaultdict(list)
        for task, run_id in runs:
            ids[task].append(run_id)
        if not ids:
            return
        with self._connected(f"the leases of {owner}") as connection:
            for task, found in ids.items():
                for first in range(0, len(found), _RENEWED_AT_ONCE):
                    parameters = {
                        **self._of(RunKey(task, "")),
                        "run_ids": found[first : first + _RENEWED_AT_ONCE],
                        "holder": owner,
                        "due_in": due_in,
                    }
                    connection.execute(self._renew_runs, parameters)

    def _begin(self, connection: Connection, parameters: dict[str, Any]) -> float | None:
        try:
            return self._write(connection, self._insert_run, parameters)
        except IntegrityError:
            # Somebody's record, or an expired one that nobody has deleted yet.
            return self._write(connection, self._revive_run, parameters)

    def _load(self, connection: Connection, run: RunKey) -> Found:
        row = connection.execute(self._load_run, self._of(run)).one_or_none()
        if row is None:
            now: float = connection.execute(self._time, self._clock()).scalar_one()
            return Found(None, now)
        try:
            return Found(record_of(row[1:]), row[0])
        except Unreadable as exc:
            raise self._corrupt(run, exc) from exc


def _parameters_of(record: Record) -> dict[str, Any]:
    """The parameters of a writing statement, without version and times.

    Cursors and results go in as bytes, since not every database takes every ``str``.
    """
    return {
        "new_state": record.state.value,
        "new_fence": record.fence,
        "new_owner": record.owner,
        "new_checkpoint": None if record.checkpoint is None else utf8(record.checkpoint),
        "new_steps": record.steps,
        "new_requested": None if record.requested is None else record.requested.value,
        "new_result": None if record.result is None else utf8(record.result),
        "new_envelope": record.envelope or None,
        "new_extra": extra_of(record),
        "new_started_at": record.started_at,
    }

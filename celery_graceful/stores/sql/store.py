"""The store in a SQL database, by SQLAlchemy Core."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from celery_graceful.errors import CorruptRecord, StoreError
from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.stores.base import Flushed, Found, Swapped, next_version
from celery_graceful.stores.boarded import Boarded
from celery_graceful.stores.codec import Unreadable, utf8
from celery_graceful.stores.listing import Skipped
from celery_graceful.stores.sql.board import SqlBoard
from celery_graceful.stores.sql.errors import translated
from celery_graceful.stores.sql.fields import parameters_of, record_of, request_of
from celery_graceful.stores.sql.forked import ForkSafeEngine
from celery_graceful.stores.sql.listing import SqlListing
from celery_graceful.stores.sql.quarantine import SqlQuarantine
from celery_graceful.stores.sql.statements import Statements
from celery_graceful.stores.sql.tables import table
from celery_graceful.stores.unread import unread, unread_board

logger = logging.getLogger("celery_graceful.stores")

#: Every so many ended runs the store deletes up to ``_FORGET_AT_ONCE`` that have expired.
_FORGET_EVERY = 50
_FORGET_AT_ONCE = 200
#: Runs per statement; SQLite takes few parameters in old versions.
_BEAT_AT_ONCE = 200


class SqlStore(Boarded):
    """Records as rows of the table ``graceful_runs``; the tables are made on first use.

    Every operation is one statement in autocommit mode, so atomic. PostgreSQL tells its own time.
    SQLite serves one host and uses that host's clock; with any other database the clocks of the
    workers have to agree, to well within a lease.

    Args:
        engine: An engine in autocommit mode.
        namespace: The first column of every key.
        address: The store's URL without its password, for messages.
    """

    shared_between_processes = True

    def __init__(self, engine: Engine, namespace: str, *, address: str) -> None:
        self.shared_between_hosts = engine.dialect.name != "sqlite"
        self._engine = ForkSafeEngine(engine)
        self._namespace = namespace
        self._address = address
        self._url = engine.url.render_as_string(hide_password=False)
        self._sql = Statements(engine.dialect.name)
        self._returns = bool(engine.dialect.update_returning)
        self._quarantine = SqlQuarantine(self._sql)
        self._board = SqlBoard(self._sql, self._connected, self._given, self._unread_board)
        self._listing = SqlListing(self._sql, Skipped())
        self._ended = 0

    def load(self, run: RunKey) -> Found:
        with self._connected(_shown(run)) as connection:
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
            **parameters_of(record),
            "new_version": version,
            "due_in": due_in if keep is None else None,
            "keep": keep,
        }
        with self._connected(_shown(run)) as connection:
            if expected:
                parameters["expected"] = expected
                now = self._sql.write(connection, self._sql.replace, parameters)
            else:
                now = self._begin(connection, parameters)
            if now is None:
                there = self._load(connection, run)
                return Swapped(False, there.now, record=there.record)
        if keep is not None:
            self._forget_sometimes()
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
        with self._connected(_shown(run)) as connection:
            if self._returns:
                statement = self._sql.checkpoint.returning(table.c.version, table.c.requested)
                row = connection.execute(statement, parameters).one_or_none()
            elif connection.execute(self._sql.checkpoint, parameters).rowcount:
                row = connection.execute(self._sql.requested, parameters).one_or_none()
            else:
                row = None
            if row is None:
                there = connection.execute(self._sql.load, self._of(run)).one_or_none()
                return Flushed(False, gone=there is None)
        try:
            return Flushed(True, row.version, request_of(row.requested))
        except Unreadable as exc:
            raise self._corrupt(run, exc) from exc

    def beat(self, owner: str, runs: Collection[RunKey], *, due_in: float) -> None:
        ids = defaultdict(list)
        for task, run_id in runs:
            ids[task].append(run_id)
        if not ids:
            return
        with self._connected(f"the leases of {owner}") as connection:
            for task, found in ids.items():
                for first in range(0, len(found), _BEAT_AT_ONCE):
                    parameters = {
                        **self._of(RunKey(task, "")),
                        "run_ids": found[first : first + _BEAT_AT_ONCE],
                        "holder": owner,
                        "due_in": due_in,
                    }
                    connection.execute(self._sql.beat, parameters)

    def due(self, limit: int) -> list[tuple[RunKey, Record]]:
        with self._connected("the runs that are due") as connection:
            return self._listing.due(connection, self._given(), limit)

    def runs(self, limit: int) -> list[tuple[RunKey, Record]]:
        with self._connected("the list of runs") as connection:
            return self._listing.runs(connection, self._given(), limit)

    def named(self, prefix: str, limit: int) -> list[RunKey]:
        with self._connected("the ids of runs") as connection:
            return self._listing.named(connection, self._given(), prefix, limit)

    def quarantine(self, run: RunKey, fence: int, ordinal: int, entry: str, *, keep: float) -> bool:
        with self._connected(_shown(run)) as connection:
            return self._quarantine.put(connection, self._of(run), fence, ordinal, entry, keep)

    def quarantined(self, run: RunKey, first: int, limit: int) -> list[tuple[int, str]]:
        with self._connected(_shown(run)) as connection:
            return self._quarantine.listing(connection, self._of(run), first, limit)

    def count_quarantined(self, run: RunKey, first: int, limit: int) -> int:
        with self._connected(_shown(run)) as connection:
            return self._quarantine.count(connection, self._of(run), first, limit)

    def drop_quarantined(
        self, run: RunKey, ordinals: Collection[int], *, fence: int | None = None
    ) -> None:
        with self._connected(_shown(run)) as connection:
            self._quarantine.drop(connection, self._of(run), ordinals, fence)

    def drop_quarantined_range(
        self, run: RunKey, first: int, last: int | None = None, *, fence: int | None = None
    ) -> None:
        with self._connected(_shown(run)) as connection:
            self._quarantine.drop_range(connection, self._of(run), first, last, fence)

    def expire_quarantined(self, run: RunKey, *, keep: float) -> None:
        with self._connected(_shown(run)) as connection:
            self._quarantine.keep(connection, self._of(run), keep)

    def check(self) -> None:
        with self._connected("the table graceful_runs") as connection:
            connection.execute(self._sql.probe, self._of(RunKey("", "")))
            connection.execute(self._sql.now, self._clock())

    def close(self) -> None:
        """Give back the connections; the next call opens new ones."""
        self._engine.close()

    def _begin(self, connection: Connection, parameters: dict[str, Any]) -> float | None:
        try:
            return self._sql.write(connection, self._sql.insert, parameters)
        except IntegrityError:
            # Somebody's record, or one whose time is over and that nobody has deleted yet.
            return self._sql.write(connection, self._sql.revive, parameters)

    def _load(self, connection: Connection, run: RunKey) -> Found:
        row = connection.execute(self._sql.load, self._of(run)).one_or_none()
        if row is None:
            now: float = connection.execute(self._sql.now, self._clock()).scalar_one()
            return Found(None, now)
        try:
            return Found(record_of(row._mapping), row[0])
        except Unreadable as exc:
            raise self._corrupt(run, exc) from exc

    def _forget_sometimes(self) -> None:
        self._ended += 1
        if self._ended % _FORGET_EVERY != 1:
            return
        try:
            with self._connected("expired runs") as connection:
                parameters = self._given()
                rows = connection.execute(
                    self._sql.expired, {**parameters, "count": _FORGET_AT_ONCE}
                ).all()
                gone = [{**parameters, "run_task": task, "run_id": id_} for task, id_ in rows]
                if gone:
                    connection.execute(self._sql.forget, gone)
                if self._quarantine.forget(connection, parameters):
                    self._ended = 0  # the next ended run goes on with it
        except StoreError as exc:
            # The swap itself is done, and the next ones will try again.
            logger.warning("Expired runs could not be deleted: %s", exc)

    def _clock(self) -> dict[str, float]:
        return {} if self._sql.tells_time else {"now": time.time()}

    def _given(self) -> dict[str, Any]:
        return {"ns": self._namespace, **self._clock()}

    def _of(self, run: RunKey) -> dict[str, Any]:
        return {"run_task": run[0], "run_id": run[1], **self._given()}

    @contextmanager
    def _connected(self, about: str) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except StoreError:
            raise
        except (SQLAlchemyError, OSError, ValueError, TypeError) as exc:
            raise translated(exc, self._address, about, self._url) from exc

    def _corrupt(self, run: RunKey, why: object) -> CorruptRecord:
        return unread(f"{_shown(run)} in graceful_runs of {self._address}", why)

    def _unread_board(self, where: str, why: object) -> CorruptRecord:
        return unread_board(f"{where} of {self._address}", why)


def _shown(run: RunKey) -> str:
    return f"{run[0]}[{run[1]}]"

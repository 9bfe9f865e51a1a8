"""The store in a SQL database, by SQLAlchemy Core."""

from __future__ import annotations

import logging

from sqlalchemy import Engine

from celery_graceful.errors import StoreError
from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.stores.base import Swapped
from celery_graceful.stores.sql.browsing import SqlBrowsing
from celery_graceful.stores.sql.django_alias import alias_of
from celery_graceful.stores.sql.named_texts import SqlTexts
from celery_graceful.stores.sql.quarantine import SqlQuarantine
from celery_graceful.stores.sql.records import SqlRuns

logger = logging.getLogger("celery_graceful.stores")

#: Every so many ended runs the store deletes up to ``_FORGET_AT_ONCE`` that have expired.
_FORGET_EVERY = 50
_FORGET_AT_ONCE = 200


class SqlStore(SqlRuns, SqlBrowsing, SqlQuarantine, SqlTexts):
    """A store in a SQL database; the tables are made on first use.

    PostgreSQL has a clock of its own. SQLite serves one host and uses that host's clock; with any
    other database the clocks of the workers have to agree, to well within a lease.
    """

    def __init__(self, engine: Engine, namespace: str, *, address: str) -> None:
        super().__init__(engine, namespace, address=address)
        self._ended = 0

    def swap(
        self,
        run: RunKey,
        expected: int,
        record: Record,
        *,
        due_in: float | None = None,
        keep: float | None = None,
    ) -> Swapped:
        swapped = super().swap(run, expected, record, due_in=due_in, keep=keep)
        if swapped.done and keep is not None:
            self._forget_sometimes()
        return swapped

    def check(self) -> None:
        with self._connected("the table graceful_runs") as connection:
            connection.execute(self._probe_run, self._of(RunKey("", "")))
            connection.execute(self._time, self._clock())

    def _forget_sometimes(self) -> None:
        self._ended += 1
        if self._ended % _FORGET_EVERY != 1:
            return
        try:
            with self._connected("expired runs") as connection:
                parameters = self._given()
                rows = connection.execute(
                    self._expired_runs, {**parameters, "count": _FORGET_AT_ONCE}
                ).all()
                gone = [{**parameters, "run_task": task, "run_id": id_} for task, id_ in rows]
                if gone:
                    connection.execute(self._forget_run, gone)
                if self._forget_quarantined(connection, parameters):
                    self._ended = 0  # the next ended run continues with it
        except StoreError as exc:
            # The swap itself is done, and the next ones will try again.
            logger.warning("Expired runs could not be deleted: %s", exc)


class DjangoStore(SqlStore):
    """A store on connections that Django makes: ``django://alias``."""

    def __init__(self, engine: Engine, namespace: str, *, address: str) -> None:
        super().__init__(engine, namespace, address=address)
        self._advice = (
            "If its tables (graceful_runs and others) are missing, have"
            ' "celery_graceful.contrib.django" in INSTALLED_APPS and run'
            f" `python manage.py migrate celery_graceful{_database(alias_of(address))}`. Else check"
            " DATABASES, and that its user may write to these tables."
        )

    @staticmethod
    def _prepare(engine: Engine) -> None:
        """Create nothing: that is what migrations are for."""


def _database(alias: str) -> str:
    return "" if alias == "default" else f" --database {alias}"

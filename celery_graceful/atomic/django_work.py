"""One execution on Django's connection: batches of items, each committed with the run's row."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.db import DatabaseError, IntegrityError, connections, transaction

from celery_graceful.atomic import django_table as sql
from celery_graceful.atomic import driver_errors
from celery_graceful.atomic.database import Busy, Claim, Mark, Row, settled
from celery_graceful.atomic.django_block import Batch, claim_transaction
from celery_graceful.atomic.django_misuse import Misuse
from celery_graceful.errors import TransactionError

logger = logging.getLogger("celery_graceful.atomic")


class DjangoWork:
    """What :class:`~celery_graceful.atomic.Work` promises, through Django's connection."""

    def __init__(self, using: str, task: str, ready: sql.Ready, *, carried: bool) -> None:
        self._using = using
        self._task = task
        self._ready = ready
        self._connection = connections[using]
        self._misuse = Misuse(self._connection, task)
        self._batch = Batch(self._connection, self._misuse)
        self._claim: Claim | None = None
        self._hooks: list[Any] = []
        if carried:
            self._check_outside()

    def _check_outside(self) -> None:
        connection = self._connection
        if connection.in_atomic_block:
            raise TransactionError(
                f"{self._task}: the database {self._using!r} has an open atomic() block already, "
                "which encloses the whole run, so nothing could be committed within it. Remove "
                "the block from what calls the task, such as a base class with its own __call__"
            )
        # What an earlier task of this thread has left may be too old, or cut off by now.
        connection.close_if_unusable_or_obsolete()
        if connection.connection is not None and not connection.is_usable():
            connection.close()
        if not connection.get_autocommit():
            raise TransactionError(
                f"{self._task}: the connection of the database {self._using!r} is not in autocommit"
                " mode, so atomic() blocks do not commit. Remove AUTOCOMMIT = False from "
                f"settings.DATABASES[{self._using!r}], and set_autocommit(False) from the code "
                "before the run; or give Atomic.django an alias that has it"
            )

    @property
    def session(self) -> Any:
        return self._connection

    @property
    def connection(self) -> Any:
        """Django's connection, for a cursor: what it executes is part of the transaction."""
        return self._connection

    @property
    def using(self) -> str:
        """The alias, for ``Model.objects.using(…)`` and ``obj.save(using=…)``."""
        return self._using

    # -- the row ----------------------------------------------------------------------------

    def claim(self, claim: Claim, stands: Callable[[], bool]) -> Row | None:
        with self._busy_reported():
            self._ready.make_sure(self._connection, self._task)
            with claim_transaction(self._connection):
                row = self._written(claim)
                if not stands():
                    transaction.set_rollback(True, using=self._using)
                    return None
        self._claim = claim
        return row

    def _written(self, claim: Claim) -> Row:
        key, now = sql.key(claim), time.time()
        with self._connection.cursor() as cursor:
            cursor.execute(sql.LOCK, key)
            if not cursor.rowcount:
                row = settled(None, claim, now)
                cursor.execute(sql.INSERT, sql.row_values(row, claim))
                return row
            cursor.execute(sql.READ, key)
            row = settled(sql.read_row(cursor.fetchone()), claim, now)
            cursor.execute(sql.REPLACE, sql.row_values(row, claim))
        return row

    @contextmanager
    def _busy_reported(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as exc:
            raise Busy("another execution makes the row this very moment") from exc
        except DatabaseError as exc:
            if driver_errors.is_busy(exc.__cause__):
                raise Busy(str(exc)) from exc
            raise

    # -- batches ----------------------------------------------------------------------------

    def begin(self) -> None:
        self._batch.begin()

    def commit(self, mark: Mark | None) -> bool:
        self._batch.begin()
        self._batch.check()
        if mark is not None and not self._mark(mark):
            self.rollback()
            return False
        self._hooks = self._batch.commit()
        return True

    def committed(self) -> None:
        hooks, self._hooks = self._hooks, []
        if hooks:
            self._connection.run_on_commit = hooks
            self._connection.run_and_clear_commit_hooks()

    def _mark(self, mark: Mark) -> bool:
        assert self._claim is not None
        with self._connection.cursor() as cursor:
            cursor.execute(sql.MARK, sql.mark_values(mark, self._claim, time.time()))
            return bool(cursor.rowcount == 1)

    def item(self) -> AbstractContextManager[Any]:
        return self._batch.item()

    def stands(self) -> bool:
        try:
            self._batch.check()
            self._batch.mark_place()
        except Exception as exc:
            logger.warning("%s: its transaction is gone: %r", self._task, exc)
            return False
        return True

    def explained(self, exc: Exception) -> Exception | None:
        return self._misuse.explained(exc)

    # -- the ways back ----------------------------------------------------------------------

    def rollback(self) -> None:
        try:
            self._batch.rollback()
        except Exception as exc:  # the connection is broken; the server undoes what it has
            logger.warning("%s: a transaction was cut off: %r", self._task, exc)

    def close(self) -> None:
        self.rollback()
        connection = self._connection
        try:
            if connection.errors_occurred and not connection.in_atomic_block:
                connection.close_if_unusable_or_obsolete()
        except Exception as exc:
            logger.warning("%s: its connection could not be closed: %r", self._task, exc)


def forget(using: str, claim: Claim) -> None:
    """Remove the row of a run that has ended."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql.FORGET, [*sql.key(claim), claim.started, claim.fence])

"""The ``atomic()`` block that holds one batch, and the savepoints within it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, transaction

from celery_graceful.atomic import driver_errors
from celery_graceful.atomic.database import OWN_BLOCK
from celery_graceful.atomic.django_guard import StatementGuard
from celery_graceful.atomic.django_misuse import Misuse

#: How long one attempt to claim a row waits for another transaction: MySQL counts whole seconds.
WAIT_MS, WAIT_SECONDS = 500, 1

_PLACE = "graceful_batch"


class Batch:
    """The block of the batch under way, on one connection.

    Args:
        connection: Django's.
        misuse: says what is wrong with a transaction.
    """

    def __init__(self, connection: Any, misuse: Misuse) -> None:
        self._connection = connection
        self._misuse = misuse
        self._guard = StatementGuard(connection, misuse)
        self._block: Any = None
        #: Whether a block of the caller's, such as a test case's, encloses the batch.
        self._is_enclosed = False

    def begin(self) -> None:
        """Begin, if it has not begun."""
        if self._block is not None:
            return
        self._is_enclosed = self._connection.in_atomic_block
        block = transaction.atomic(using=self._connection.alias)
        setattr(block, OWN_BLOCK, True)
        with _immediate(self._connection):
            block.__enter__()
        self._block = block
        try:
            self._set_place()
        except BaseException:
            self.rollback()
            raise
        self._guard.install()

    def check(self) -> None:
        """Raise if what the batch has done cannot be committed as a whole.

        Raises:
            TransactionError: an item has ended or broken the transaction, or left a block open.
            DatabaseError: the connection is gone.
        """
        self._misuse.check()
        if self._blocks()[-1:] != [self._block]:
            raise self._misuse.left_open()
        if not self._is_enclosed:
            self._release_place()

    def mark_place(self) -> None:
        """The batch continues after a check."""
        self._set_place()

    def commit(self) -> list[Any]:
        """Commit, after a check; returns the ``on_commit`` hooks that wait for it."""
        connection, block = self._connection, self._end()
        hooks: list[Any] = []
        if not self._is_enclosed:
            hooks, connection.run_on_commit = connection.run_on_commit, []
        block.__exit__(None, None, None)
        return hooks

    def rollback(self) -> None:
        """Undo what was not committed, also in blocks that were left open within."""
        block = self._end()
        if block is None:
            return
        error = InterruptedError("rolled back")
        # Deepest first. A connection that was made anew meanwhile has none of them.
        for inner in reversed(self._blocks()):
            if block in self._blocks():
                inner.__exit__(InterruptedError, error, None)

    @contextmanager
    def item(self) -> Iterator[None]:
        """Around one item: a savepoint, which what it raises rolls back to."""
        connection = self._connection
        scope, is_done = transaction.atomic(using=connection.alias), False
        try:
            with scope:
                yield
                is_done = True
                self._misuse.check()
                if self._blocks()[-1:] != [scope]:
                    raise self._misuse.left_open()
                if connection.vendor == "postgresql":
                    # Else a foreign key to nothing would be found at the batch's commit.
                    with connection.cursor() as cursor:
                        cursor.execute(
                            "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"
                        )
        except Exception as exc:
            clearer = self._misuse.explained(exc)
            if clearer is None and is_done and self._has_lost_savepoint(exc):
                clearer = self._misuse.undone()
            if clearer is None:
                raise
            raise clearer from exc

    def _has_lost_savepoint(self, exc: Exception) -> bool:
        # Django could not even roll back to it.
        if not isinstance(exc, DatabaseError):
            return False
        is_lost = driver_errors.is_lost(exc.__cause__, self._connection.connection)
        return bool(self._connection.needs_rollback and not is_lost)

    def _end(self) -> Any:
        block, self._block = self._block, None
        self._guard.remove()
        return block

    def _blocks(self) -> list[Any]:
        return list(self._connection.atomic_blocks)

    # -- a savepoint that is there as long as the transaction is -------------------------------

    def _set_place(self) -> None:
        if not self._is_enclosed:
            with self._connection.cursor() as cursor:
                cursor.execute(f"SAVEPOINT {_PLACE}")

    def _release_place(self) -> None:
        # Gone with its transaction: after a COMMIT beside Django, an implicit one of MySQL's, a
        # deadlock on InnoDB, which undoes everything, or SQLite's INSERT OR ROLLBACK.
        connection = self._connection
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"RELEASE SAVEPOINT {_PLACE}")
        except DatabaseError as exc:
            if driver_errors.is_lost(exc.__cause__, connection.connection):
                raise
            raise self._misuse.undone() from exc


@contextmanager
def claim_transaction(connection: Any) -> Iterator[None]:
    """A transaction that is going to write, and waits for locks no longer than half a second."""
    block = transaction.atomic(using=connection.alias)
    with _bounded_wait(connection):
        with _immediate(connection):
            block.__enter__()
        try:
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute(f"SET LOCAL lock_timeout = {WAIT_MS}")
            yield
        except BaseException as exc:
            block.__exit__(type(exc), exc, exc.__traceback__)
            raise
        block.__exit__(None, None, None)


@contextmanager
def _immediate(connection: Any) -> Iterator[None]:
    """Have SQLite take its write lock at the begin, which waits for other writers.

    A transaction that reads first and writes later fails at once when somebody wrote in between.
    """
    if connection.vendor != "sqlite" or connection.settings_dict["OPTIONS"].get("transaction_mode"):
        yield
        return

    def start() -> None:
        connection.cursor().execute("BEGIN IMMEDIATE")

    connection._start_transaction_under_autocommit = start
    try:
        yield
    finally:
        del connection._start_transaction_under_autocommit


#: How a connection's setting is asked for, and set; PostgreSQL sets it within the transaction.
_WAITS = {
    "sqlite": ("PRAGMA busy_timeout", "PRAGMA busy_timeout = {}", WAIT_MS),
    "mysql": (
        "SELECT @@innodb_lock_wait_timeout",
        "SET innodb_lock_wait_timeout = {}",
        WAIT_SECONDS,
    ),
}


@contextmanager
def _bounded_wait(connection: Any) -> Iterator[None]:
    if connection.vendor not in _WAITS:
        yield
        return
    ask, change, wait = _WAITS[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(ask)
        before = cursor.fetchone()[0]
        cursor.execute(change.format(wait))
    try:
        yield
    finally:
        # The connection outlives the transaction, and this setting with it.
        if connection.connection is not None:
            with connection.cursor() as cursor:
                cursor.execute(change.format(before))

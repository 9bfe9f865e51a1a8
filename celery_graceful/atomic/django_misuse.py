"""What items have done to their batch's transaction, in words that say what to do instead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import Error, OperationalError
from django.db.backends.utils import CursorWrapper
from django.db.transaction import Atomic, TransactionManagementError
from django.db.utils import DatabaseErrorWrapper

from celery_graceful.atomic import driver_errors
from celery_graceful.errors import TransactionError

#: PostgreSQL: a cursor of this name does not exist.
_NO_CURSOR = "34000"
_NO_CURSOR_IN_PSYCOPG2 = "named cursor isn't valid anymore"


class Misuse:
    """Knows one connection, in whose transaction the items of a task work.

    Args:
        connection: Django's.
        task: the task's name.
    """

    def __init__(self, connection: Any, task: str) -> None:
        self._connection = connection
        self.task = task

    def check(self) -> None:
        """Raise if Django knows that the transaction cannot be committed.

        Raises:
            TransactionError: an item closed the connection, or broke the transaction.
            OperationalError: the connection was lost, which an item has ignored.
        """
        connection = self._connection
        if connection.closed_in_transaction:
            raise TransactionError(self.hands_off("close()"))
        if not connection.needs_rollback:
            return
        cause = getattr(connection, "rollback_exc", None)  # since Django 4.2
        if driver_errors.is_lost(getattr(cause, "__cause__", None), connection.connection):
            raise OperationalError(
                f"{self.task}: its connection to the database {connection.alias!r} was lost, and "
                "an item ignored that"
            ) from cause
        raise TransactionError(self._broken()) from cause

    # -- texts ------------------------------------------------------------------------------

    def hands_off(self, what: str) -> str:
        """``what`` was called, as in ``commit()``."""
        return (
            f"{self.task} is atomic, so its items must not call {what} on the database "
            f"{self._connection.alias!r}: it is committed for them, with their checkpoint. Leave "
            f"the call out, and put what may fail into `{self._block()}:`"
        )

    def _broken(self) -> str:
        return (
            f"{self.task} is atomic, and one of its items caught an error of the database "
            f"{self._connection.alias!r}, or called set_rollback(True), outside of a block of its "
            "own. The whole batch would have to be rolled back. Put what may fail into "
            f"`{self._block()}:`, and the `except` around it"
        )

    def undone(self) -> TransactionError:
        """The database ended the transaction without an error."""
        return TransactionError(
            f"{self.task} is atomic, and the transaction of its batch on the database "
            f"{self._connection.alias!r} ended before its commit: a statement committed or rolled "
            "it back beside Django, or the database did, as after a deadlock whose error was "
            "caught. What is left was rolled back. Leave such statements out, and let an error "
            "of the database leave the item"
        )

    def left_open(self) -> TransactionError:
        """A block that an item has opened is still open, or one more than that was closed."""
        return TransactionError(
            f"{self.task} is atomic, and its items left an atomic() block open on the database "
            f"{self._connection.alias!r}, or closed one that was not theirs. Use `{self._block()}:`"
            " within one item; in a generator it ends before the yield"
        )

    def _block(self) -> str:
        alias = self._connection.alias
        return f"with transaction.atomic({'' if alias == 'default' else f'using={alias!r}'})"

    # -- errors of Django's own -------------------------------------------------------------

    def explained(self, exc: Exception) -> TransactionError | None:
        """A clearer error than ``exc``, if it comes of such a thing; else ``None``."""
        connection = self._connection
        if isinstance(exc, RuntimeError) and str(exc).startswith("A durable atomic block"):
            return TransactionError(self._durable()) if self._entered_durable(exc) else None
        # Not all of them come through Django's wrappers.
        is_streamed = _is_about_a_closed_cursor(exc) or _is_about_a_closed_cursor(exc.__cause__)
        if not (isinstance(exc, Error) or is_streamed) or not self._is_about_connection(exc):
            return None
        if connection.closed_in_transaction:
            return TransactionError(self.hands_off("close()"))
        if isinstance(exc, TransactionManagementError):
            if connection.needs_rollback:
                return TransactionError(self._broken())
            return TransactionError(self.hands_off("commit(), rollback() or set_autocommit()"))
        return TransactionError(self._streamed()) if is_streamed else None

    def _durable(self) -> str:
        return (
            f"{self.task} is atomic, so its items run within a transaction of the database "
            f"{self._connection.alias!r}, and atomic(durable=True) cannot be used in them: what it "
            "promises, a commit at its end, would separate work and checkpoint. Leave `durable` "
            "out; with Atomic.django(every=1) each item is committed by itself"
        )

    def _streamed(self) -> str:
        return (
            f"{self.task} is atomic, and reads rows of the database {self._connection.alias!r} "
            "through a server-side cursor, as iterator() does, which the commit of a batch closes. "
            "Read by pages, with sources.queryset(...), or set DISABLE_SERVER_SIDE_CURSORS"
        )

    def _is_about_connection(self, exc: BaseException) -> bool:
        """Whether this connection raised it, not one of another alias."""
        for known in _variables(exc):
            for one in (known.get("self"), known.get("cursor")):
                if isinstance(one, CursorWrapper):
                    one = one.db
                elif isinstance(one, DatabaseErrorWrapper):
                    one = one.wrapper
                if one is self._connection:
                    return True
        return False

    def _entered_durable(self, exc: BaseException) -> bool:
        for known in _variables(exc):
            one = known.get("self")
            if isinstance(one, Atomic) and one.durable:
                return bool((one.using or "default") == self._connection.alias)
        return False


def _is_about_a_closed_cursor(exc: BaseException | None) -> bool:
    return driver_errors.sqlstate(exc) == _NO_CURSOR or str(exc) == _NO_CURSOR_IN_PSYCOPG2


def _variables(exc: BaseException) -> Iterator[dict[str, Any]]:
    """The local variables of the functions that an error came through."""
    trace = exc.__traceback__
    while trace is not None:
        yield trace.tb_frame.f_locals
        trace = trace.tb_next

"""What all calls of the SQL store go through: connections, the time, and errors."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, Connection, Double, Engine, bindparam, cast, extract, func
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from celery_graceful.errors import CorruptRecord, StoreError, StoreUnavailable
from celery_graceful.model.run.record import RunKey
from celery_graceful.stores.sql.engine import ForkSafeEngine, make_tables
from celery_graceful.stores.unread import Skipped, unread
from celery_graceful.text.masking import mask_text

logger = logging.getLogger("celery_graceful.stores")

#: SQLSTATEs after which the same statement may succeed later.
_LATER = ("08", "40", "53", "55P03", "57", "25006", "58")
#: What drivers say without a SQLSTATE when waiting does not help.
_REFUSED = (
    "authentication failed",
    "access denied",
    "permission denied",
    "no pg_hba.conf entry",
    "no password supplied",
    "does not exist",
    "unknown database",
    "no such table",
    "no such column",
    "unable to open database file",
    "readonly database",
    "read-only",
    "not a database",
    "malformed",
    "disk is full",
    "not authorized",
)
_AWAY = ("OperationalError", "InterfaceError", "ConnectionTimeout", "InternalError")


class SqlCalls:
    """Statements on the rows of one namespace.

    PostgreSQL answers the time itself; elsewhere ``now`` is a parameter of every statement.

    Args:
        engine: An engine in autocommit mode.
        namespace: The first column of every key.
        address: The store's URL without its password, for messages.
    """

    shared_between_processes = True
    #: What to do about an error that does not pass.
    _advice = (
        "Check that the database of graceful_store exists, that its user may create tables "
        "(graceful_runs and others) and write to them, and that the file and its folder are "
        "writable if it is SQLite."
    )
    #: Creates the tables before the first call.
    _prepare: Callable[[Engine], None] = staticmethod(make_tables)

    def __init__(self, engine: Engine, namespace: str, *, address: str) -> None:
        self.shared_between_hosts = engine.dialect.name != "sqlite"
        self._engine = ForkSafeEngine(engine, self._prepare)
        self._namespace = namespace
        self._address = address
        self._url = engine.url.render_as_string(hide_password=False)
        self._skipped = Skipped()
        self._dialect = engine.dialect
        self._knows_time = engine.dialect.name == "postgresql"
        parameter = bindparam("now", type_=Double)
        self._now = _server_time("clock_timestamp") if self._knows_time else parameter
        # When the statement began: the time itself changes while it runs, so no index serves a
        # comparison with that, and a look would read every run.
        self._moment = _server_time("statement_timestamp") if self._knows_time else parameter

    def close(self) -> None:
        """Give back the connections; the next call opens new ones."""
        self._engine.close()

    @contextmanager
    def _connected(self, about: str) -> Iterator[Connection]:
        """A connection in autocommit mode; ``about`` is what errors name."""
        try:
            with self._engine.connect() as connection:
                yield connection
        except StoreError:
            raise
        except (SQLAlchemyError, OSError, ValueError, TypeError) as exc:
            raise self._translated(exc, about) from exc

    def _translated(self, exc: Exception, about: str) -> StoreError:
        """Say what SQLAlchemy or its driver raised as an error of this package."""
        cause = exc.orig if isinstance(exc, DBAPIError) and exc.orig is not None else exc
        # A driver may quote the password.
        message = mask_text(" ".join(str(cause).split()), self._url) or type(cause).__name__
        if _may_pass(exc, cause, message):
            return StoreUnavailable(
                f"{self._address} does not answer now (about {about}): {message}"
            )
        return StoreError(f"{self._address} failed on {about}: {message}. {self._advice}")

    def _given(self) -> dict[str, Any]:
        """The parameters of every statement."""
        return {"ns": self._namespace, **self._clock()}

    def _of(self, run: RunKey) -> dict[str, Any]:
        """The parameters of a statement on one run."""
        return {"run_task": run[0], "run_id": run[1], **self._given()}

    def _clock(self) -> dict[str, float]:
        return {} if self._knows_time else {"now": time.time()}

    def _timed(self, statement: Any) -> Any:
        """``statement``, answering the time if the database can."""
        return statement.returning(self._now) if self._knows_time else statement

    def _write(
        self, connection: Connection, statement: Any, parameters: dict[str, Any]
    ) -> float | None:
        """Execute what :meth:`_timed` made; the time, or ``None`` if no row was written."""
        result = connection.execute(statement, parameters)
        if self._knows_time:
            now: float | None = result.scalar_one_or_none()
            return now
        return parameters["now"] if result.rowcount == 1 else None

    def _corrupt(self, run: RunKey, why: object) -> CorruptRecord:
        return unread(f"{run} in graceful_runs of {self._address}", why)


def _server_time(of: str) -> ColumnElement[float]:
    return cast(extract("epoch", getattr(func, of)()), Double)


def _may_pass(exc: Exception, cause: BaseException, message: str) -> bool:
    if isinstance(exc, (PoolTimeout, OSError)):
        return True
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if state:
        return str(state).startswith(_LATER)
    if any(sign in message.lower() for sign in _REFUSED):
        return False
    if isinstance(exc, DBAPIError) and exc.connection_invalidated:
        return True
    return any(kind.__name__ in _AWAY for kind in type(cause).__mro__)

"""One execution's session: batches of items, each committed together with the run's row."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, event, inspect
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session, SessionTransaction

from celery_graceful.atomic import alchemy_table as sql
from celery_graceful.atomic.alchemy_locks import (
    bounded_wait,
    forget_savepoints,
    guard_savepoints,
    has_lost_savepoints,
    is_busy,
    is_transactional,
)
from celery_graceful.atomic.database import COMMITTED_FOR_ITEMS, Busy, Claim, Mark, Row, settled
from celery_graceful.errors import DefinitionError, TransactionError

logger = logging.getLogger("celery_graceful.atomic")


class Ready:
    """Knows in which databases the table is there."""

    def __init__(self) -> None:
        self._engines: WeakSet[Any] = WeakSet()

    def make_sure(self, session: Session) -> None:
        """Make the table where it is missing, in a transaction of its own."""
        connection = _connection(session)
        if connection.engine in self._engines:
            return
        if not inspect(connection).has_table(sql.checkpoints.name):
            try:
                sql.metadata.create_all(connection)
                session.commit()
            except DBAPIError as exc:
                if is_busy(exc):
                    raise
                session.rollback()  # another worker may have been quicker by a moment
                if not inspect(_connection(session)).has_table(sql.checkpoints.name):
                    raise TransactionError(
                        f"the table {sql.checkpoints.name}, which atomic runs need, is missing and "
                        f"cannot be made ({exc.orig}). Make it by a migration: its definition is "
                        "celery_graceful.atomic.alchemy_table.checkpoints"
                    ) from exc
        self._engines.add(_connection(session).engine)


class SessionWork:
    """What :class:`~celery_graceful.atomic.Work` promises, through a session."""

    def __init__(
        self, make_session: Callable[[], Any], task: str, ready: Ready, *, carried: bool
    ) -> None:
        self._make_session = make_session
        self._task = task
        self._ready = ready
        if carried:
            _remove(make_session)  # what an earlier task of this thread has left
        self._session = self._made()
        self._session.info[COMMITTED_FOR_ITEMS] = True
        self._claim: Claim | None = None
        #: The transaction of the batch; ``None`` between two.
        self._begun: SessionTransaction | None = None
        self._ours = False
        self._touched = False
        event.listen(self._session, "before_commit", self._before_commit)
        event.listen(self._session, "after_begin", guard_savepoints)

    def _made(self) -> Session:
        session = self._make_session()
        if not isinstance(session, Session):
            raise DefinitionError(
                f"{self._task}: Atomic.sqlalchemy got something that makes {session!r:.200}, "
                "which is no session of SQLAlchemy's ORM; pass a sessionmaker"
            )
        if session.in_transaction():
            raise TransactionError(
                f"{self._task}: the session for its atomic run has an open transaction already. "
                "Commit it before the run begins, or let Atomic.sqlalchemy make a new session"
            )
        return session

    @property
    def session(self) -> Session:
        if self._begun is None:
            self.begin()
        return self._session

    # -- the row ----------------------------------------------------------------------------

    def claim(self, claim: Claim, stands: Callable[[], bool]) -> Row | None:
        with self._own_transaction() as session:
            self._ready.make_sure(session)
            with bounded_wait(_connection(session)):
                row = self._written(session, claim)
            self._check_transactional(session)
            if not stands():
                return None
            session.commit()
        self._claim = claim
        return row

    def _written(self, session: Session, claim: Claim) -> Row:
        key, now = sql.key(claim), time.time()
        standing: Any = session.execute(sql.LOCK, key)
        if not standing.rowcount:
            row = settled(None, claim, now)
            names = {"namespace": claim.namespace, "task": claim.task, "id": claim.id}
            session.execute(sql.INSERT, {**names, **sql.row_values(row, claim)})
            return row
        found = session.execute(sql.READ, key).one()
        row = settled(sql.read_row(found), claim, now)
        session.execute(sql.REPLACE.values(**sql.row_values(row, claim)), key)
        return row

    @contextmanager
    def _own_transaction(self) -> Iterator[Session]:
        self._ours = True
        try:
            yield self._session
        except IntegrityError as exc:
            raise Busy("another execution makes the row this very moment") from exc
        except DBAPIError as exc:
            if is_busy(exc):
                raise Busy(str(exc.orig)) from exc
            raise
        finally:
            self.rollback()
            self._ours = False

    def _check_transactional(self, session: Session) -> None:
        if not is_transactional(_connection(session)):
            raise TransactionError(
                f"{self._task}: its session's connection is in autocommit mode, where nothing can "
                "be committed together. Give Atomic.sqlalchemy sessions of an engine without "
                'isolation_level="AUTOCOMMIT"'
            )

    # -- batches ----------------------------------------------------------------------------

    def begin(self) -> None:
        if self._begun is not None:
            return
        self._begun = self._session.begin()
        forget_savepoints(_connection(self._session))

    def commit(self, mark: Mark | None) -> bool:
        session = self.session
        self._check_untouched()
        if has_lost_savepoints(_connection(session)):
            raise TransactionError(self._hands_off("statements that undo the whole transaction"))
        session.flush()
        if mark is not None and not self._mark(session, mark):
            self.rollback()
            return False
        self._ours = True
        try:
            session.commit()
        finally:
            self._ours = False
        self._begun = None
        return True

    def committed(self) -> None:
        pass  # what listens to the session's events has been called

    def _mark(self, session: Session, mark: Mark) -> bool:
        assert self._claim is not None
        done: Any = session.execute(sql.MARK, sql.mark_values(mark, self._claim, time.time()))
        return bool(done.rowcount == 1)

    def _before_commit(self, session: Session) -> None:
        if self._ours or session.get_nested_transaction() is not None:
            return
        self._touched = True
        raise TransactionError(self._hands_off("commit()"))

    def _check_untouched(self) -> None:
        if self._touched or self._session.get_transaction() is not self._begun:
            raise TransactionError(self._hands_off("commit(), rollback() or close()"))

    def _hands_off(self, what: str) -> str:
        return (
            f"{self._task} is atomic, so its items must not call {what} on "
            "self.transaction.session: it is committed for them, with their checkpoint. Leave the "
            "call out, and put what may fail into `with session.begin_nested():`"
        )

    def item(self) -> AbstractContextManager[Any]:
        return self.session.begin_nested()

    def stands(self) -> bool:
        try:
            return is_transactional(_connection(self.session))
        except Exception as exc:
            logger.warning("%s: its transaction is gone: %r", self._task, exc)
            return False

    def explained(self, exc: Exception) -> Exception | None:
        return None  # its own errors are clear

    # -- the ways back ----------------------------------------------------------------------

    def rollback(self) -> None:
        self._begun, self._touched = None, False
        try:
            self._session.rollback()
        except Exception as exc:  # the connection is broken; the server undoes what it has
            logger.warning("%s: a transaction was cut off: %r", self._task, exc)
            self._session.invalidate()

    def close(self) -> None:
        self.rollback()
        for name, listener in (
            ("before_commit", self._before_commit),
            ("after_begin", guard_savepoints),
        ):
            if event.contains(self._session, name, listener):
                event.remove(self._session, name, listener)
        self._session.info.pop(COMMITTED_FOR_ITEMS, None)
        try:
            self._session.close()
            _remove(self._make_session)
        except Exception as exc:
            logger.warning("%s: its session could not be closed: %r", self._task, exc)


def forget(make_session: Callable[[], Any], claim: Claim) -> None:
    """Remove the row of a run that has ended."""
    session: Session = make_session()
    try:
        with session.begin():
            mine = {"my_started": claim.started, "my_fence": claim.fence}
            session.execute(sql.FORGET, {**sql.key(claim), **mine})
    finally:
        session.close()
        _remove(make_session)


def _remove(make_session: Any) -> None:
    """Have a ``scoped_session`` make a new session next time."""
    remove = getattr(make_session, "remove", None)
    if callable(remove):
        remove()


def _connection(session: Session) -> Connection:
    return session.connection(bind_arguments={"clause": sql.checkpoints})

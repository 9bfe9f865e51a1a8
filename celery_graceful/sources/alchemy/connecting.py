"""Where queries run: an engine, a connection or a session, with no transaction left open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Engine, Result, Select, event, inspect
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from celery_graceful.errors import SourceError
from celery_graceful.sources.alchemy.selected import NAME, is_orm

_Found = TypeVar("_Found")
Use = Callable[[Result[Any]], _Found]
Values = dict[str, Any] | None


class Target:
    """What was passed as ``session_or_engine``.

    A page is read whole, and then the transaction that reading it has begun is ended: none is open
    while its rows are worked on. One that was open before stays.

    Raises:
        SourceError: it is none that queries can run on.
    """

    def __init__(self, given: Any) -> None:
        if not isinstance(given, (Connection, Engine, Session, scoped_session, sessionmaker)):
            raise SourceError(f"{NAME}: cannot run queries on {given!r:.100}; {_instead_of(given)}")
        self._given = given

    @property
    def makes_sessions(self) -> bool:
        """Whether objects of the ORM are read by a session of ours, which is new for each page."""
        return isinstance(self._given, (Engine, sessionmaker))

    @contextmanager
    def watch(self, stale: Callable[[], None]) -> Iterator[None]:
        """Call ``stale`` when the session of the caller's own has expired its objects.

        Else each of them would be read again by itself, and one that was deleted be an error.
        """
        given: Any = self._given
        session = _session(given)

        def committed(_: Session) -> None:
            if session.expire_on_commit:
                stale()

        def rolled_back(_: Session) -> None:
            stale()

        listeners = {"after_commit": committed, "after_rollback": rolled_back}
        for name, listener in listeners.items():
            event.listen(session, name, listener)
        try:
            yield
        finally:
            for name, listener in listeners.items():
                # Not there any more when session and source are collected together.
                if event.contains(session, name, listener):
                    event.remove(session, name, listener)

    @property
    def keeps_objects(self) -> bool:
        """Whether objects stay in a session of the caller's own."""
        return isinstance(self._given, (Session, scoped_session))

    def dialect(self, stmt: Select[Any]) -> Dialect:
        """The kind of database; nothing is connected."""
        given = self._given
        if isinstance(given, (Connection, Engine)):
            return given.dialect
        if isinstance(given, sessionmaker):
            with given() as session:
                return _bind(session, stmt).dialect
        return _bind(_session(given), stmt).dialect

    def run(self, stmt: Any, use: Use[_Found], values: Values = None) -> _Found:
        """Execute a statement and make something of its result, which is closed afterwards."""
        given = self._given
        if isinstance(given, Engine):
            if is_orm_statement(stmt):
                with Session(given) as session:
                    return use(session.execute(stmt, values))
            with given.connect() as connection:
                return use(connection.execute(stmt, values))
        if isinstance(given, Connection):
            return _on_connection(given, stmt, use, values)
        if isinstance(given, sessionmaker):
            with given() as session:
                return use(session.execute(stmt, values))
        return _in_session(_session(given), stmt, use, values)


def is_orm_statement(stmt: Any) -> bool:
    """Whether only a session can run it."""
    return isinstance(stmt, Select) and is_orm(stmt)


def _session(given: Session | scoped_session[Any]) -> Session:
    return given() if isinstance(given, scoped_session) else given


def _bind(session: Session, stmt: Select[Any]) -> Engine | Connection:
    entity = next((d["entity"] for d in stmt.column_descriptions if d.get("entity")), None)
    mapper = None if entity is None else inspect(entity).mapper
    return session.get_bind(mapper=mapper, clause=stmt)


def _on_connection(connection: Connection, stmt: Any, use: Use[_Found], values: Values) -> _Found:
    before = connection.in_transaction()
    try:
        if is_orm_statement(stmt):
            with Session(connection, join_transaction_mode="create_savepoint") as session:
                return use(session.execute(stmt, values))
        return use(connection.execute(stmt, values))
    finally:
        if not before and connection.in_transaction():
            connection.rollback()


def _in_session(session: Session, stmt: Any, use: Use[_Found], values: Values) -> _Found:
    before = session.in_transaction()
    found = use(session.execute(stmt, values))
    # Not by rollback() or commit(), which would have each object of the page read again.
    if not before and (begun := session.get_transaction()) is not None:
        begun.close()
    return found


def _instead_of(given: Any) -> str:
    if type(given).__module__.startswith("sqlalchemy.ext.asyncio"):
        return "tasks are not asynchronous; pass a plain Engine, or a sessionmaker of one"
    return "pass an Engine, a Connection, a Session, a sessionmaker or a scoped_session"

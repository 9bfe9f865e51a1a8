"""Rows of a database by SQLAlchemy, resumable at a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from celery_graceful.errors import SourceError
from celery_graceful.sources.keyset.row_source import RowSource

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.orm import Session, scoped_session, sessionmaker
    from sqlalchemy.sql.elements import ColumnElement
    from sqlalchemy.sql.selectable import SelectBase

    Order = str | ColumnElement[Any] | Any
    Source = Engine | Connection | Session | sessionmaker[Any] | scoped_session[Any]


@overload
def select(
    stmt: SelectBase,
    session_or_engine: Source,
    *,
    cursor: Any = None,
    order_by: Order | Sequence[Order] | None = None,
    unique: bool = False,
    batch: int = 1000,
    batches: Literal[False] = False,
    upper_bound: Any = None,
    count: Literal["exact", "estimate"] | None = None,
) -> RowSource[tuple[Any, Any]]: ...


@overload
def select(
    stmt: SelectBase,
    session_or_engine: Source,
    *,
    cursor: Any = None,
    order_by: Order | Sequence[Order] | None = None,
    unique: bool = False,
    batch: int = 1000,
    batches: Literal[True],
    upper_bound: Any = None,
    count: Literal["exact", "estimate"] | None = None,
) -> RowSource[tuple[list[Any], Any]]: ...


def select(
    stmt: SelectBase,
    session_or_engine: Source,
    *,
    cursor: Any = None,
    order_by: Order | Sequence[Order] | None = None,
    unique: bool = False,
    batch: int = 1000,
    batches: bool = False,
    upper_bound: Any = None,
    count: Literal["exact", "estimate"] | None = None,
) -> RowSource[Any]:
    """The rows of a ``SELECT`` of SQLAlchemy 2.0, Core or ORM; the cursor is the row's key.

    Rows are read in pages, each by a query for the rows behind the last key, so that resuming
    takes one look into an index, however many rows are done. ``select(Customer)`` yields customers,
    every other statement its rows.

    ``NULL`` is greater than every value: last in ascending order, first in descending.

    Args:
        stmt: the statement, without LIMIT, DISTINCT or GROUP BY.
        session_or_engine: where it runs. Of an engine or a ``sessionmaker`` each page has a
            connection of its own, and objects are detached; objects of a session, or of a
            ``scoped_session``, stay in it. No transaction is left open between pages.
        cursor: the last cursor that was yielded; ``None`` for the first row.
        order_by: a column or several, by name (``"-created_at"`` descends) or as SQLAlchemy has
            them; the primary key is appended. By default the statement's own ``ORDER BY``, else
            the primary key.
        unique: the columns of the order together identify a row: needed where no primary key is
            known, as for views and subqueries.
        batch: rows per query.
        batches: yield lists of ``batch`` rows, the last one shorter, each with the cursor of its
            last row.
        upper_bound: the last key that is wanted, or the values of its first columns; ``"now"``:
            that of the last row that there is when the run begins, kept in the cursor.
        count: what ``count()`` of the source returns: ``"exact"`` by a full count, ``"estimate"``
            by the planner of PostgreSQL, MySQL or MariaDB; ``None`` by default.

    Raises:
        SourceError: the statement or the order cannot be read page by page; the message says what
            to write.
        CursorError: the cursor comes from another source or another order.
    """
    try:
        import sqlalchemy  # noqa: F401
    except ModuleNotFoundError as exc:
        raise SourceError(
            "sources.select needs SQLAlchemy, which is not installed;"
            " pip install 'celery-graceful[sqlalchemy]'"
        ) from exc
    from celery_graceful.sources.alchemy.rows_of_select import rows_of_select

    return rows_of_select(
        stmt,
        session_or_engine,
        cursor=cursor,
        order_by=order_by,
        unique=unique,
        batch=batch,
        batches=batches,
        upper_bound=upper_bound,
        count=count,
    )

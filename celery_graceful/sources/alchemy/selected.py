"""Which statements can be read page by page, and what to write in place of the others."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select
from sqlalchemy.sql.elements import ClauseElement, Over
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import CompoundSelect, SelectBase

from celery_graceful.errors import SourceError

NAME = "sources.select"
_WRAP = (
    "make it a subquery that is selected from, and name columns that identify its rows:"
    " sub = stmt.subquery(); sources.select(select(sub), …, order_by=[…], unique=True)"
)


def checked(stmt: Any) -> Select[Any]:
    """``stmt`` when it is a SELECT whose rows can be asked for from any key on.

    Raises:
        SourceError: it is not; says what to write.
    """
    if isinstance(stmt, CompoundSelect):
        raise SourceError(f"{NAME}: a UNION cannot be continued behind a key; {_WRAP}")
    if not isinstance(stmt, Select):
        hint = f"sqlalchemy.select({stmt.__name__})" if isinstance(stmt, type) else "select(…)"
        raise SourceError(
            f"{NAME} needs a select() of SQLAlchemy, not {type(stmt).__name__}; write {hint}"
        )
    for attribute, what, instead in _REFUSED:
        if _is_set(getattr(stmt, attribute, None)):
            raise SourceError(f"{NAME}: the statement has {what}; {instead}")
    for column in stmt.column_descriptions:
        expression = column["expr"]
        if _depends_on_others(expression):
            raise SourceError(
                f"{NAME}: {expression!s:.100} would be computed over the rows of each page; {_WRAP}"
            )
    return stmt


_REFUSED = (
    (
        "_limit_clause",
        "a LIMIT",
        "leave it out: batch= is the number of rows per query, upper_bound= ends the rows at a key",
    ),
    ("_offset_clause", "an OFFSET", "leave it out, and begin behind a key by cursor="),
    ("_fetch_clause", "a FETCH", "leave it out: batch= is the number of rows per query"),
    ("_distinct", "DISTINCT", _WRAP),
    ("_group_by_clauses", "GROUP BY", _WRAP),
    ("_having_criteria", "HAVING", _WRAP),
)


def _is_set(clause: Any) -> bool:
    if clause is None or clause is False:
        return False
    return bool(len(clause)) if isinstance(clause, (tuple, list)) else True


#: Functions of many rows; of SQLite, ``max(a, b)`` is none.
_AGGREGATES = ("count", "sum", "avg", "min", "max", "array_agg", "string_agg", "group_concat")


def _depends_on_others(element: Any) -> bool:
    """Whether its value depends on other rows of the statement."""
    if isinstance(element, Over):
        return True
    if isinstance(element, FunctionElement) and (name := element.name.lower()) in _AGGREGATES:
        return name not in ("min", "max") or len(element.clauses) < 2
    if not isinstance(element, ClauseElement) or isinstance(element, SelectBase):
        return False
    return any(_depends_on_others(inner) for inner in element.get_children())


def single_entity(stmt: Select[Any]) -> bool:
    """Whether each row is one object of the ORM, and is to be yielded as such."""
    columns = stmt.column_descriptions
    return len(columns) == 1 and is_entity(columns[0])


def has_entities(stmt: Select[Any]) -> bool:
    """Whether rows have objects of the ORM."""
    return any(map(is_entity, stmt.column_descriptions))


def is_entity(description: Any) -> bool:
    """Whether a part of a row is a mapped class or an alias of one, and no column of it."""
    entity = description.get("entity")
    return entity is not None and description["expr"] is entity


def is_orm(stmt: Select[Any]) -> bool:
    """Whether a session has to run it."""
    return any(column.get("entity") is not None for column in stmt.column_descriptions) or bool(
        getattr(stmt, "_with_options", ())
    )

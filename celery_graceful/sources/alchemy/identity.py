"""The columns that identify a row of a statement: the primary keys of what it selects from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import FromClause, Join, Select, literal_column
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList, ColumnElement
from sqlalchemy.sql.selectable import AliasedReturnsRows, CompoundSelect

from celery_graceful.errors import SourceError
from celery_graceful.sources.alchemy.selected import NAME

_SAY = "name columns that together identify a row by order_by=[…], and say so by unique=True"


def froms(stmt: Select[Any]) -> Sequence[FromClause]:
    """What it selects from, without the joins that load related objects."""
    bare: Select[Any] = stmt.with_only_columns(literal_column("1"), maintain_column_froms=True)
    return bare.get_final_froms()


def parts(stmt: Select[Any]) -> list[FromClause]:
    """The tables, aliases and subqueries that it selects from, joins taken apart."""
    return [part for place in froms(stmt) for part in _parts(place)]


def _parts(place: FromClause) -> Iterator[FromClause]:
    if isinstance(place, Join):
        yield from _parts(place.left)
        yield from _parts(place.right)
    else:
        yield place


def optional_parts(stmt: Select[Any]) -> set[int]:
    """The hashes of the parts whose columns an outer join may leave ``NULL``."""

    def optional(place: FromClause, may: bool) -> Iterator[int]:
        if isinstance(place, Join):
            yield from optional(place.left, may or place.full)
            yield from optional(place.right, may or place.isouter or place.full)
        elif may:
            yield hash(place)

    return {found for place in froms(stmt) for found in optional(place, False)}


def identifying(stmt: Select[Any]) -> list[ColumnElement[Any]]:
    """The primary keys of its parts, without those that follow from the others.

    A table that is joined by the whole of its primary key has one row for each of the others.

    Raises:
        SourceError: a part has no primary key, or it is not known whether it is unique.
    """
    found: list[ColumnElement[Any]] = []
    for place in froms(stmt):
        for part, joined in _with_condition(place, None):
            columns = list(part.primary_key)
            if not columns or not _is_unique(part):
                raise SourceError(
                    f"{NAME}: the rows of {part_name([part], 0)!r} have no primary key that is"
                    f" known; {_SAY}"
                )
            if joined is None or not _follows(part, columns, joined):
                found += columns
    return found


def _with_condition(place: FromClause, joined: Any) -> Iterator[tuple[FromClause, Any]]:
    if isinstance(place, Join):
        yield from _with_condition(place.left, None)
        # Of a FULL JOIN, some rows have nothing on the left that could say what is on the right.
        yield from _with_condition(place.right, None if place.full else place.onclause)
    else:
        yield place, joined


def _is_unique(part: FromClause) -> bool:
    """Whether the primary key that SQLAlchemy reports for a subquery still identifies its rows."""
    if not isinstance(part, AliasedReturnsRows):
        return True
    inner: Any = part.element
    if isinstance(inner, FromClause):
        return _is_unique(inner)
    if isinstance(inner, CompoundSelect) or not isinstance(inner, Select):
        return False
    places = froms(inner)
    grouped = inner._group_by_clauses or inner._distinct
    return (
        not grouped
        and len(places) == 1
        and not isinstance(places[0], Join)
        and _is_unique(places[0])
    )


def _follows(part: FromClause, columns: list[Any], condition: Any) -> bool:
    """Whether ``condition`` gives each of the columns the value of another table's."""
    given = set()
    for left, right in _equalities(condition):
        for one, other in ((left, right), (right, left)):
            if _belongs(one, part) and not _belongs(other, part):
                given.add(hash(one))
    return all(hash(column) in given for column in columns)


def _equalities(condition: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
        for clause in condition.clauses:
            yield from _equalities(clause)
    elif isinstance(condition, BinaryExpression) and condition.operator is operators.eq:
        yield condition.left, condition.right


def _belongs(column: Any, part: FromClause) -> bool:
    table = getattr(column, "table", None)
    return table is not None and hash(table) == hash(part)


def part_name(found: Sequence[FromClause], place: int) -> str:
    """What a part is called, the same in every process; an alias without a name by its place."""
    part: Any = found[place]
    name = getattr(part, "name", None)
    if name is None or name.startswith("%("):
        inner = getattr(getattr(part, "element", None), "name", None) or "subquery"
        return f"{inner}_{place + 1}"
    return str(name)

"""The order that was asked for, as columns of the statement with a name each."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Set
from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import RelationshipProperty
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import ClauseElement, ColumnElement, Label, UnaryExpression
from sqlalchemy.sql.selectable import FromClause

from celery_graceful.errors import SourceError
from celery_graceful.sources.alchemy.identity import identifying, optional_parts, part_name, parts
from celery_graceful.sources.alchemy.selected import NAME, is_entity
from celery_graceful.sources.keyset.order import Order, directed, total_order

logger = logging.getLogger("celery_graceful.sources")
#: The columns that this process has warned of.
_warned: set[str] = set()


class Ordering:
    """A statement's total order, and the columns that it consists of.

    Args:
        stmt: the statement, which may have an ``ORDER BY`` of its own.
        order_by: names or columns; ``None`` for the statement's own, or the primary key.
        unique: whether these columns together identify a row.
        bounded: whether there is an upper bound.

    Raises:
        SourceError: a column is not known, or nothing makes the order total.
    """

    def __init__(self, stmt: Select[Any], order_by: Any, unique: bool, bounded: bool) -> None:
        self._stmt = stmt
        self._parts = parts(stmt)
        #: By name, in the order's order.
        self.columns: dict[str, ColumnElement[Any]] = {}
        asked = [self._asked(term) for term in self._terms(order_by)]
        primary = [] if unique else [self._named(column) for column in identifying(stmt)]
        identity = [name for name, _ in asked] if unique else primary
        for name, descending in asked[:1]:
            if not (descending or bounded):
                _warn_of_updates(name, self.columns[name])
        optional = optional_parts(stmt)
        nullable = {name for name, c in self.columns.items() if _nullable(c, optional)}
        self.order: Order = total_order(NAME, asked, identity, nullable=nullable)

    def _terms(self, order_by: Any) -> list[Any]:
        own = list(self._stmt._order_by_clauses)
        if order_by is None:
            return own
        if own:
            raise SourceError(
                f"{NAME}: the statement has an ORDER BY and there is order_by={order_by!r:.100} as"
                " well; leave one of them out"
            )
        return list(order_by) if isinstance(order_by, (list, tuple)) else [order_by]

    def _asked(self, term: Any) -> tuple[str, bool]:
        if not isinstance(getattr(term, "property", None), RelationshipProperty):
            term = getattr(term, "__clause_element__", lambda: term)()
        descending = False
        if isinstance(term, str):
            name, descending = directed(term)
            return self._named(self._by_name(name), name), descending
        while isinstance(term, ClauseElement):
            inner: Any = getattr(term, "element", None)
            if isinstance(term, UnaryExpression):
                if term.modifier not in (operators.desc_op, operators.asc_op):
                    raise SourceError(
                        f"{NAME}: the order {term} cannot be kept: NULL is greater than every value"
                        " here, so that it comes last, or first in descending order; leave"
                        " nulls_first() and nulls_last() out"
                    )
                descending ^= term.modifier is operators.desc_op
            elif not type(term).__name__.endswith("label_reference"):
                break
            if isinstance(inner, str):
                return self._named(self._by_name(inner), inner), descending
            term = inner
        if not isinstance(term, ColumnElement):
            raise SourceError(
                f"{NAME}: order_by needs names of columns, or columns, not {term!r:.100}; write for"
                ' example order_by=["-created_at", "id"]'
            )
        label = term.name if isinstance(term, Label) else None
        return self._named(term, label), descending

    # -- names ------------------------------------------------------------------------------

    def _named(self, column: Any, name: str | None = None) -> str:
        """Keep a column under a name that another execution finds again; returns the name."""
        column = column.element if isinstance(column, Label) else column
        table = getattr(column, "table", None)
        place = next((n for n, p in enumerate(self._parts) if hash(p) == hash(table)), None)
        if place is not None:
            name = f"{part_name(self._parts, place)}.{column.key}" if place else column.key
        name = name or str(column)
        known = self.columns.setdefault(name, column)
        if hash(known) != hash(column) and not known.compare(column):
            raise SourceError(
                f"{NAME}: two different columns of the order are called {name!r}; give the tables"
                " aliases with names: aliased(Table, name=…)"
            )
        return name

    def _by_name(self, name: str) -> ColumnElement[Any]:
        for column in self._stmt.column_descriptions:
            expression = column["expr"]
            if isinstance(expression, Label) and expression.name == name:
                return expression
        for column in self._stmt.column_descriptions:
            mapped = getattr(column["expr"], name, None) if is_entity(column) else None
            if mapped is not None and hasattr(mapped, "__clause_element__"):
                found: Any = mapped.__clause_element__()
                if isinstance(found, ColumnElement):
                    return found
        place, dot, rest = name.rpartition(".")
        called = {part_name(self._parts, n): part for n, part in enumerate(self._parts)}
        where = [part for name, part in called.items() if not dot or name == place]
        found_in = [part.c[rest] for part in where if rest in part.c]
        if not found_in:
            raise SourceError(
                f"{NAME}: order_by names the column {name!r}, which the statement does not have;"
                f" there are {', '.join(_names(called))}"
            )
        if len(found_in) > 1 and hash(found_in[0].table) != hash(self._parts[0]):
            tables = " and ".join(f"{n}.{rest}" for n, part in called.items() if rest in part.c)
            raise SourceError(f"{NAME}: order_by={name!r} may mean {tables}; write one of them")
        return found_in[0]


def _names(called: Mapping[str, FromClause]) -> list[str]:
    several = len(called) > 1
    return [
        f"{name}.{key}" if several else key
        for name, part in called.items()
        for key in part.c.keys()  # noqa: SIM118 - iterating yields columns
    ]


def _warn_of_updates(name: str, column: Any) -> None:
    by_itself = getattr(column, "onupdate", None) or getattr(column, "server_onupdate", None)
    where = f"{getattr(column, 'table', '')}.{name}"
    if by_itself is not None and where not in _warned:
        _warned.add(where)
        logger.warning(
            "%s: the rows are ordered by %s, which changes with each update: a row that is updated"
            " meanwhile, by this task or others, comes again. To read each row that there is now"
            ' once, write upper_bound="now" or order by another column',
            NAME,
            where,
        )


def _nullable(column: Any, optional: Set[int]) -> bool:
    if hash(getattr(column, "table", None)) in optional:
        return True
    if getattr(column, "primary_key", False):
        return False
    return bool(getattr(column, "nullable", True))

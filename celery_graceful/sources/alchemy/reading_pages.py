"""One query for each page: the statement with conditions, an order and a limit."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import Dialect, Integer, Result, Select, bindparam, case, inspect
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.elements import ColumnElement

from celery_graceful.sources.alchemy.comparing import PARAMETER, Comparing
from celery_graceful.sources.alchemy.connecting import Target
from celery_graceful.sources.alchemy.ordering import Ordering
from celery_graceful.sources.alchemy.selected import single_entity
from celery_graceful.sources.keyset.key_cursors import KeyColumns
from celery_graceful.sources.keyset.predicate import Segment, Term, shape
from celery_graceful.sources.keyset.row_pages import Keys

_LABEL = "graceful_key_"


class Pages:
    """Runs a statement's queries on a target; connects with the first.

    Args:
        stmt: the statement.
        ordering: its order.
        target: where it runs.
    """

    def __init__(self, stmt: Select[Any], ordering: Ordering, target: Target) -> None:
        self._plain = stmt.order_by(None)
        self._ordering = ordering
        self._target = target
        self._dialect: Dialect | None = None
        #: The statements, by the shape of their conditions: most runs have two.
        self._queries: dict[Any, Select[Any]] = {}
        self._entity = single_entity(stmt)
        #: Whether rows repeat an object for each member of a collection that is loaded by a join.
        self._collapse = False
        self._width = len(stmt.column_descriptions)

    @property
    def row_values(self) -> bool:
        """Whether this kind of database answers comparisons of row values from an index."""
        self._prepare()
        return self._comparing.row_values

    def fetch(self, segment: Segment, limit: int) -> tuple[list[Any], Keys]:
        """The items of one query, and their keys."""
        self._prepare()
        try:
            return self._fetched(segment, limit)
        except KeyError:
            if not self._attributes:
                raise
        # The statement's options, such as load_only(), leave out a column of the key.
        self._select_keys()
        return self._fetched(segment, limit)

    def _fetched(self, segment: Segment, limit: int) -> tuple[list[Any], Keys]:
        values: list[Any] = []
        kind = (segment.terms, *(shape(each, values) for each in segment.conditions))
        stmt = self._queries.get(kind)
        if stmt is None:
            stmt = self._queries[kind] = self._query(segment)
        values.append(limit)
        given = {f"{PARAMETER}{place}": value for place, value in enumerate(values)}
        if not self._collapse:
            try:
                return self._target.run(stmt, self._split, given)
            except InvalidRequestError as exc:
                if "unique()" not in str(exc):
                    raise
                self._collapse = True
        return self._target.run(stmt, lambda result: self._split(result.unique()), given)

    def _query(self, segment: Segment) -> Select[Any]:
        values: list[Any] = []
        conditions = [self._comparing.sql(each, values) for each in segment.conditions]
        terms = [term for each in segment.terms for term in self._terms(each)]
        limit = bindparam(f"{PARAMETER}{len(values)}", type_=Integer())
        return self._stmt.where(*conditions).order_by(*terms).limit(limit)

    def as_read(self, key: tuple[Any, ...]) -> tuple[Any, ...]:
        """A key of the user's as the values of the columns are read."""
        self._prepare()
        names = self._ordering.order.names
        return tuple(map(self._comparing.as_read, names, key))

    def _prepare(self) -> None:
        if self._dialect is not None:
            return
        dialect = self._target.dialect(self._plain)
        self._comparing = comparing = Comparing(self._ordering.columns, dialect)
        self._attributes = self._loaded(list(comparing.columns.values()))
        if self._attributes:
            self._stmt = self._plain
        else:
            self._select_keys()
        self._dialect = dialect

    def _select_keys(self) -> None:
        """Have rows contain the key: by the caller's own columns, or by more of them."""
        columns = list(self._comparing.columns.values())
        places = [None if self._entity else self._place(column) for column in columns]
        extra = [c for c, place in zip(columns, places, strict=True) if place is None]
        self._stmt = self._plain.add_columns(
            *(column.label(f"{_LABEL}{n}") for n, column in enumerate(extra))
        )
        # Positions in rows: the extra columns follow those of the caller.
        free = iter(range(self._width, self._width + len(extra)))
        self._places = [next(free) if place is None else place for place in places]
        self._extra = bool(extra)
        self._attributes = []
        self._queries.clear()

    def _loaded(self, columns: list[ColumnElement[Any]]) -> list[str]:
        """The attributes that hold the key, if new objects are sure to have them all.

        A session that was there before may hold objects as they were read then, or changed since.
        """
        if not (self._entity and self._target.makes_sessions):
            return []
        mapper = inspect(self._plain.column_descriptions[0]["expr"]).mapper
        return loaded_attributes(mapper, columns)

    def _place(self, column: ColumnElement[Any]) -> int | None:
        """Where the caller's own rows have a key column."""
        for place, description in enumerate(self._plain.column_descriptions):
            selected: Any = description["expr"]
            selected = getattr(selected, "__clause_element__", lambda s=selected: s)()
            if hash(selected) == hash(column):
                return place
        return None

    def _terms(self, term: Term) -> list[Any]:
        column = self._comparing.columns[term.name]
        ranked = [case((column.is_(None), 1), else_=0), column] if term.ranked else [column]
        return [each.desc() if term.descending else each for each in ranked]

    def _split(self, result: Result[Any]) -> tuple[list[Any], Keys]:
        if self._attributes:
            items: Any = result.scalars().all()
            values = list(map(attrgetter("__dict__"), items))
            return items, _keys(values, self._attributes)
        if not self._extra:
            found: Any = result.all()
            return found, _keys(found, self._places)
        if self._entity:
            found = result.all()
            keys = _keys(found, self._places)
            return list(map(itemgetter(0), found)), keys
        frozen = result.freeze()
        keys = _keys(frozen().all(), self._places)
        return list(frozen().columns(*range(self._width)).all()), keys


def _keys(rows: Sequence[Any], places: Sequence[Any]) -> Keys:
    columns = [list(map(itemgetter(place), rows)) for place in places]
    return columns[0] if len(columns) == 1 else KeyColumns(columns)


def loaded_attributes(mapper: Mapper[Any], columns: Sequence[ColumnElement[Any]]) -> list[str]:
    """The names of the attributes that are loaded with each object, if there is one per column."""
    by_column = {
        hash(attribute.columns[0]): attribute.key
        for attribute in mapper.column_attrs
        if not attribute.deferred
    }
    names = [by_column.get(hash(column), "") for column in columns]
    return names if all(names) else []

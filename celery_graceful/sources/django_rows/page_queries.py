"""The queries of pages: compiled once, and made objects of one row at a time.

Django builds and compiles a query anew each time, which costs as much as making objects of a tenth
of a page's rows. The queries of one run differ in the values of the last key only, so that each
shape is compiled once, with a :class:`~.lookups.Slot` for each value.

The keys come from the rows as the database returned them, before there is an object that a task
could change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from celery_graceful.sources.django_rows.columns import Column
from celery_graceful.sources.django_rows.lookups import Lookups, Slot, SlotLookups
from celery_graceful.sources.django_rows.reconnecting import reading
from celery_graceful.sources.django_rows.row_forms import RowForm
from celery_graceful.sources.keyset.key_cursors import KeyColumns
from celery_graceful.sources.keyset.predicate import Segment, shape
from celery_graceful.sources.keyset.row_pages import Keys

#: A run has a few shapes; lists whose size a worker changes have one for each size.
_KEPT = 16


class PageQueries:
    """Runs one query for each page.

    Args:
        form: how the rows are read.
        columns: of the key.
        lookups: for the columns whose values no slot can hold.
        lists: return lists, not iterators.
    """

    def __init__(
        self, form: RowForm, columns: Sequence[Column], lookups: Lookups, lists: bool
    ) -> None:
        self._form = form
        self._lookups = lookups
        self._fields = _slot_fields(columns)
        self._lists = lists
        self._compiled: dict[Any, _Compiled] = {}

    def fetch(self, segment: Segment, limit: int) -> tuple[Iterable[Any], Keys]:
        """The items of one query, and their keys."""
        if self._form.places is None:
            page = self._page(self._lookups, segment, limit)
            return self._form.split(reading(page.db, lambda: list(page._chain())))
        values: list[Any] = []
        kind = (limit, segment.terms, *(shape(each, values) for each in segment.conditions))
        query = self._query(kind, segment, limit)
        keys = reading(query.alias, lambda: query.run(values, limit))
        return (query.items_in_list() if self._lists else query.items()), keys

    def _query(self, kind: Any, segment: Segment, limit: int) -> _Compiled:
        query = self._compiled.get(kind)
        if query is not None and query.fits():
            return query
        if self._fields is None:
            return _Compiled(self._page(self._lookups, segment, limit), self._form)
        if len(self._compiled) >= _KEPT:
            self._compiled.clear()
        page = self._page(SlotLookups(self._fields), segment, limit)
        query = self._compiled[kind] = _Compiled(page, self._form)
        return query

    def _page(self, lookups: Lookups, segment: Segment, limit: int) -> Any:
        filtered = self._form.queryset.filter(lookups.all_of(segment.conditions))
        return filtered.order_by(*lookups.terms(segment.terms))[:limit]


class _Compiled:
    """One query with its SQL, to be run with other values again.

    Args:
        page: the queryset; nobody else has it.
        form: how its rows are read.
    """

    def __init__(self, page: Any, form: RowForm) -> None:
        from django.core.exceptions import EmptyResultSet
        from django.db import connections

        self.alias = page.db
        self._asked, self._page = page, page.using(self.alias)
        self._connection = connections[self.alias]
        self._compiler = compiler = self._page.query.get_compiler(self.alias)
        self._kind = type(compiler)
        try:
            self._sql, self._params = compiler.as_sql()
        except EmptyResultSet:
            self._sql, self._params = "", ()
        self._form = form
        self._places: list[int] = form.places(compiler) if self._sql and form.places else []
        # What iterates over the queryset gets this compiler, and from it the rows that are there.
        self._page.query.get_compiler = lambda *_, **__: compiler

    def fits(self) -> bool:
        """Whether it is of the database and connection that the next page is read from."""
        from django.db import connections

        alias = self._asked.db  # a router may choose another replica each time
        return bool(alias == self.alias and connections[alias] is self._connection)

    def run(self, values: Sequence[Any], limit: int) -> Keys:
        """Run the query, and return the keys of its rows, which are kept for :meth:`items`."""
        compiler = self._compiler
        given = tuple(
            each.prepared(values, self._connection) if isinstance(each, Slot) else each
            for each in self._params
        )
        compiler.as_sql = lambda *_, **__: (self._sql, given)
        results = self._kind.execute_sql(compiler, chunked_fetch=False, chunk_size=limit)
        if self._keys_are_converted():
            rows = list(self._kind.results_iter(compiler, results))
            compiler.results_iter = _Converted(rows)
        else:
            rows = list(chain.from_iterable(results))
        compiler.execute_sql = lambda *_, **__: [rows]
        columns = [list(map(itemgetter(place), rows)) for place in self._places] or [[]]
        return columns[0] if len(columns) == 1 else KeyColumns(columns)

    def _keys_are_converted(self) -> bool:
        """Whether the key's columns are not as the database returned them."""
        if not self._form.raw:
            return True
        compiler = self._compiler
        fields = [selected[0] for selected in (compiler.select or ())[: compiler.col_count]]
        return not compiler.get_converters(fields).keys().isdisjoint(self._places)

    def items(self) -> Iterator[Any]:
        """The items of the rows that were read, made as they are taken."""
        if not self._sql:
            return iter(())
        found = iter(self._page._iterable_class(self._page))
        return found if self._form.make is None else map(self._form.make, found)

    def items_in_list(self) -> list[Any]:
        """The items, with what ``prefetch_related`` reads for all of them at once."""
        page = self._page
        if not (self._sql and page._prefetch_related_lookups):
            return list(self.items())
        page._result_cache, page._prefetch_done = None, False
        found, page._result_cache = list(page), None
        return found


class _Converted:
    """Stands for a compiler's ``results_iter`` where the rows were converted already."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def __call__(self, _: Any = None, tuple_expected: bool = False, **__: Any) -> Iterator[Any]:
        return map(tuple, self._rows) if tuple_expected else iter(self._rows)


def _slot_fields(columns: Sequence[Column]) -> Mapping[str, Any] | None:
    """The fields that convert the columns' values; ``None`` when one is of an unknown type."""
    from django.db.models import FloatField

    fields: dict[str, Any] = {}
    for column in columns:
        field = FloatField() if column.as_float else column.field
        while field is not None and field.is_relation:
            field = field.target_field
        if field is None or column.kinds is None or hasattr(field, "get_placeholder"):
            return None
        fields[column.name] = field
    return fields

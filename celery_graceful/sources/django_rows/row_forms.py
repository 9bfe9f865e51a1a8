"""Rows as a queryset gives them (instances, dicts, tuples, values), and the key of each."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from celery_graceful.sources.django_rows.columns import Column
from celery_graceful.sources.keyset.key_cursors import KeyColumns
from celery_graceful.sources.keyset.row_pages import Keys

#: Names of the columns that are selected beside what the queryset selects, for the key only.
_BESIDE = "graceful_key_{}"

#: Takes a page's rows as they were read, and returns the items and their keys.
Split = Callable[[list[Any]], tuple[list[Any], Keys]]


class RowForm(NamedTuple):
    """How the rows of a queryset are read."""

    #: The queryset, with the key's columns selected.
    queryset: Any
    #: Where rows have the columns of the key, for a compiler that has compiled the queryset.
    #: ``None`` for iterables of other packages, whose rows may be more or fewer than those read.
    places: Callable[[Any], list[int]] | None
    #: Whether these are places in rows as the database returned them, or in those that are
    #: converted.
    raw: bool = False
    #: Makes an item of what is iterated over; ``None``: it is one.
    make: Callable[[Any], Any] | None = None
    #: For those iterables: splits the list of what was iterated over.
    split: Split = lambda rows: (rows, [])


def form_of(qs: Any, columns: Sequence[Column]) -> RowForm:
    """How to read the rows of ``qs`` and the columns of their key."""
    from django.db.models.query import ModelIterable, ValuesIterable

    if qs._iterable_class is ModelIterable:
        return _instances(qs, columns)
    if qs._fields is None:
        return _of_others(qs, columns)
    if issubclass(qs._iterable_class, ValuesIterable):
        return _dicts(qs, columns)
    return _tuples(qs, columns)


def _instances(qs: Any, columns: Sequence[Column]) -> RowForm:
    wanted, beside = _attributes(qs, columns)

    def places(compiler: Any) -> list[int]:
        fields = compiler.klass_info["select_fields"]
        found = {compiler.select[place][0].target.attname: place for place in fields}
        found |= compiler.annotation_col_map
        # Objects have no attributes for what is selected for the key only.
        added = compiler.annotation_col_map.items()
        compiler.annotation_col_map = {name: n for name, n in added if name not in beside}
        return [found[name] for name in wanted]

    return RowForm(_selecting(qs, beside), places, raw=True)


def _of_others(qs: Any, columns: Sequence[Column]) -> RowForm:
    """Of another package's iterable, such as one that makes objects of several models."""
    wanted, beside = _attributes(qs, columns)
    getters = list(map(attrgetter, wanted))

    def split(rows: list[Any]) -> tuple[list[Any], Keys]:
        keys = _keys(getters, rows)
        for name in beside:
            for row in rows:
                del row.__dict__[name]
        return rows, keys

    return RowForm(_selecting(qs, beside), None, split=split)


def _attributes(qs: Any, columns: Sequence[Column]) -> tuple[list[str], dict[str, Column]]:
    """The attributes that hold the key, and which of them are selected beside."""
    wanted: list[str] = []
    beside: dict[str, Column] = {}
    for place, column in enumerate(columns):
        if _loaded(qs, column):
            wanted.append(column.name)
        else:
            wanted.append(name := _BESIDE.format(place))
            beside[name] = column
    return wanted, beside


def _keys(getters: Sequence[Callable[[Any], Any]], rows: list[Any]) -> Keys:
    columns = [list(map(get, rows)) for get in getters]
    return columns[0] if len(columns) == 1 else KeyColumns(columns)


def _loaded(qs: Any, column: Column) -> bool:
    """Whether instances have the column's value as an attribute of its name."""
    if column.as_float:
        return False
    if column.field is None:
        return column.name in qs.query.annotation_select
    if not column.own:
        return False
    names, deferred = qs.query.deferred_loading
    named = column.field.name in names or column.name in names
    # The key is always loaded; a name in only() that is not the column's own loads it too.
    return bool(column.field.primary_key or named != deferred)


def _dicts(qs: Any, columns: Sequence[Column]) -> RowForm:
    beside = _beside(columns, _names(qs))
    hidden = {column.name: name for name, column in beside.items()}
    selecting = _selecting(qs, beside)
    names = _names(selecting)
    places = [names.index(hidden.get(column.name, column.name)) for column in columns]

    def without_key(row: dict[str, Any]) -> dict[str, Any]:
        for name in beside:
            del row[name]
        return row

    return RowForm(selecting, lambda _: places, make=without_key if beside else None)


def _tuples(qs: Any, columns: Sequence[Column]) -> RowForm:
    """Those of ``values_list()``, also ``flat`` and ``named``: the key is selected behind them."""
    from django.db.models.query import ValuesListIterable

    kind, names = qs._iterable_class, _names(qs)
    beside = _beside(columns, names)
    places = {name: place for place, name in enumerate(names)}
    places |= {c.name: place for place, c in enumerate(beside.values(), len(names))}
    wanted = [places[column.name] for column in columns]
    make = _maker(kind, names, beside)
    selecting = _selecting(qs, beside)._chain()  # the caller's own stays as it is
    selecting._iterable_class = ValuesListIterable

    return RowForm(selecting, lambda _: wanted, make=make)


def _beside(columns: Sequence[Column], names: list[str]) -> dict[str, Column]:
    """The columns that are not selected, or not as they are needed, by the names they get."""
    return {
        _BESIDE.format(place): column
        for place, column in enumerate(columns)
        if column.as_float or column.name not in names
    }


def _maker(kind: Any, names: list[str], beside: dict[str, Column]) -> Callable[[Any], Any] | None:
    """Makes an item of a tuple that was read, which ends with what is selected beside."""
    from django.db.models.query import FlatValuesListIterable, NamedValuesListIterable

    width = len(names)
    if issubclass(kind, FlatValuesListIterable):
        return itemgetter(0)
    if issubclass(kind, NamedValuesListIterable):
        row_class: Any = namedtuple("Row", names)  # type: ignore[misc]
        make = row_class._make
        return (lambda row: make(row[:width])) if beside else make
    return itemgetter(slice(width)) if beside else None


def _names(qs: Any) -> list[str]:
    """The names of what ``values()`` or ``values_list()`` selects, in that order."""
    query = qs.query
    if getattr(query, "selected", None):  # Django 5.2
        return list(query.selected)
    selected = [*query.extra_select, *query.values_select, *query.annotation_select]
    if not qs._fields:
        return selected
    fields = [name for name in qs._fields if name in selected]
    return [*fields, *(name for name in query.annotation_select if name not in fields)]


def _selecting(qs: Any, beside: dict[str, Column]) -> Any:
    from django.db.models import F, FloatField
    from django.db.models.functions import Cast

    added = {
        name: Cast(F(column.name), FloatField()) if column.as_float else F(column.name)
        for name, column in beside.items()
    }
    return qs.annotate(**added) if added else qs

"""The columns that querysets are ordered by, looked up in the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from celery_graceful.errors import SourceError
from celery_graceful.sources.django_rows.refusals import key_fields
from celery_graceful.sources.keyset.order import Order, directed, total_order

#: What SQLite keeps of a decimal, which it stores as a float.
_SQLITE_DIGITS = 15
_WHOLE = (int,)
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(
        (
            *("AutoField", "BigAutoField", "SmallAutoField", "IntegerField", "BigIntegerField"),
            *("SmallIntegerField", "PositiveIntegerField", "PositiveBigIntegerField"),
            "PositiveSmallIntegerField",
        ),
        _WHOLE,
    ),
    **dict.fromkeys(("CharField", "TextField", "SlugField", "FilePathField"), (str,)),
    "BooleanField": (bool, int),
    "DateField": (date,),
    "DateTimeField": (datetime,),
    "DecimalField": (Decimal,),
    "DurationField": (timedelta,),
    "FloatField": (float, int),
    "TimeField": (time,),
    "UUIDField": (UUID,),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an order."""

    #: As lookups and cursors call it: ``customer__name``, ``customer_id``, an annotation.
    name: str
    nullable: bool
    #: Python's types of its values, where they are known.
    kinds: tuple[type, ...] | None = None
    #: The field that it is; ``None`` for an annotation.
    field: Any = None
    #: Whether it is a decimal that SQLite keeps as a float and Django rounds when it reads it: the
    #: key is the float, or rows between the two would be left out.
    as_float: bool = False

    @property
    def whole(self) -> bool:
        """Whether all its values are whole numbers."""
        return self.kinds == _WHOLE and not self.nullable

    @property
    def own(self) -> bool:
        """Whether the rows' own model has it."""
        return self.field is not None and "__" not in self.name


def ordered(qs: Any, order_by: Any, vendor: str) -> tuple[Order, list[Column]]:
    """The total order of a queryset's rows, and its columns.

    Args:
        order_by: the caller's, which comes before that of the queryset itself. Neither is the
            model's ``Meta.ordering``, which hardly ever has an index that makes pages cheap.
        vendor: of the database, as Django calls it.

    Raises:
        SourceError: a column is not known, or cannot order rows that resume.
    """
    asked = [(column, down) for item in _asked(qs, order_by) for column, down in _columns(qs, item)]
    found = {column.name: column for column, _ in asked}
    key = [_own_column(field) for field in key_fields(qs.model)]
    order = total_order(
        "sources.queryset",
        [(column.name, down) for column, down in asked],
        [column.name for column in key],
        nullable={column.name for column, _ in asked if column.nullable},
    )
    every = {**{column.name: column for column in key}, **found}
    columns = [every[name] for name in order.names]
    return order, [_stored(qs, column) for column in columns] if vendor == "sqlite" else columns


def updated_by_saving(columns: Sequence[Column]) -> list[str]:
    """The columns that each ``save()`` of a row changes (``auto_now``)."""
    return [c.name for c in columns if c.own and getattr(c.field, "auto_now", False)]


# -- what is asked for -----------------------------------------------------------------------


def _asked(qs: Any, order_by: Any) -> list[tuple[str, bool, Any]]:
    """Names, whether descending, and where ``NULL`` is asked to be: first, last or ``None``."""
    if order_by is not None:
        several = isinstance(order_by, (list, tuple))
        return [_term(item) for item in (order_by if several else [order_by])]
    query = qs.query
    terms = [_term(item) for item in query.order_by]
    if query.standard_ordering:
        return terms
    if not terms:
        raise SourceError(
            "sources.queryset: the queryset is reversed, and Meta.ordering is not used here;"
            " name the columns: order_by=['-created_at']"
        )
    other = {"first": "last", "last": "first", None: None}
    return [(name, not down, other[nulls]) for name, down, nulls in terms]


def _term(item: Any) -> tuple[str, bool, Any]:
    from django.db.models import F
    from django.db.models.expressions import OrderBy

    if item == "?":
        raise SourceError(
            "sources.queryset: rows in random order, order_by('?'), cannot be resumed; leave it out"
        )
    if isinstance(item, str) and item.lstrip("-"):
        return (*directed(item), None)
    down, nulls, expression = False, None, item
    if isinstance(item, OrderBy):
        down, expression = item.descending, item.expression
        nulls = "first" if item.nulls_first else "last" if item.nulls_last else None
    if isinstance(expression, F):
        return expression.name, down, nulls
    raise SourceError(
        f"sources.queryset: order_by has {item!r:.200}, and a cursor needs the names of columns;"
        " annotate it and name the annotation:"
        " .annotate(lower=Lower('name')), order_by=['lower']"
    )


def _columns(qs: Any, term: tuple[str, bool, Any]) -> list[tuple[Column, bool]]:
    name, down, nulls = term
    if name == "pk":
        return [(_own_column(field), down) for field in key_fields(qs.model)]
    column = _column(qs, name)
    if column.nullable and nulls not in (None, "first" if down else "last"):
        raise SourceError(
            f"sources.queryset: order_by wants the rows whose {name} is NULL {nulls}, and they come"
            f" {'first' if down else 'last'} here; leave nulls_{nulls} out, or annotate"
            f" Coalesce({name!r}, Value(...)) and order by that"
        )
    return [(column, down)]


# -- looking up ------------------------------------------------------------------------------


def _column(qs: Any, name: str) -> Column:
    if name in qs.query.annotations:
        return Column(name, nullable=True)
    opts, nullable = qs.model._meta, False
    names: list[str] = []
    parts = name.split("__")
    for place, part in enumerate(parts):
        part = opts.pk.attname if part == "pk" and hasattr(opts.pk, "attname") else part
        field = _field(opts, part, name)
        last = place == len(parts) - 1
        if field.one_to_many or field.many_to_many:
            raise SourceError(
                f"sources.queryset: order_by names {name!r}, and one row of {qs.model.__name__} has"
                f" several of {part!r}; annotate one of them, for example Min({name!r}), and order"
                " by the annotation"
            )
        nullable = nullable or (not field.concrete) or bool(field.null)
        if last and not field.is_relation:
            return Column("__".join([*names, field.attname]), nullable, _kinds(field), field)
        if not field.is_relation:
            raise SourceError(
                f"sources.queryset: order_by names {name!r}, and {part!r} is no relation; annotate"
                " the expression, and order by the annotation"
            )
        if last:
            return _relation(field, part, names, nullable, name)
        names.append(part)
        opts = field.related_model._meta
    raise AssertionError("a name has at least one part")  # pragma: no cover


def _relation(field: Any, part: str, names: list[str], nullable: bool, name: str) -> Column:
    """A name that ends at a foreign key: the key itself."""
    if not field.concrete:  # the other side of a one-to-one relation
        key = field.related_model._meta.pk
        return Column("__".join([*names, part, key.attname]), True, _kinds(key), key)
    ordering = field.related_model._meta.ordering
    if part != field.attname and ordering:
        raise SourceError(
            f"sources.queryset: order_by names the relation {name!r}, which Django orders by the"
            f" Meta.ordering of {field.related_model.__name__}, {list(ordering)!r:.200}; name a"
            f" column instead: {'__'.join([*names, field.attname])!r}"
        )
    return Column("__".join([*names, field.attname]), nullable, _kinds(field), field)


def _field(opts: Any, part: str, name: str) -> Any:
    from django.core.exceptions import FieldDoesNotExist

    try:
        field = opts.get_field(part)
    except FieldDoesNotExist:
        there = sorted({f.name for f in opts.get_fields() if f.concrete or f.is_relation})
        raise SourceError(
            f"sources.queryset: order_by names {name!r}, and {opts.object_name} has no column or"
            f" annotation {part!r}; there are {', '.join(there)}"
        ) from None
    if not field.concrete and (not field.is_relation or field.related_model is None):
        raise SourceError(
            f"sources.queryset: order_by names {name!r}, and {part!r} is no column of the database;"
            " order by one"
        )
    return field


def _own_column(field: Any) -> Column:
    return Column(field.attname, nullable=False, kinds=_kinds(field), field=field)


def _kinds(field: Any) -> tuple[type, ...] | None:
    while field.is_relation and field.concrete:
        field = field.target_field
    if hasattr(field, "from_db_value"):
        return None  # makes values of a type of its own
    return _KINDS.get(field.get_internal_type())


def _stored(qs: Any, column: Column) -> Column:
    """The column as SQLite stores it."""
    from django.db.models import DecimalField

    field = column.field or _output_field(qs.query.annotations[column.name])
    if not isinstance(field, DecimalField):
        return column
    if column.field is not None and field.max_digits > _SQLITE_DIGITS:
        raise SourceError(
            f"sources.queryset: order_by names {column.name!r}, a decimal with max_digits ="
            f" {field.max_digits}, and SQLite keeps the first {_SQLITE_DIGITS} only, so that rows"
            " could be left out; order by another column"
        )
    return replace(column, kinds=(float, int), as_float=True)


def _output_field(annotation: Any) -> Any:
    from django.core.exceptions import FieldError

    try:
        return annotation.output_field
    except FieldError:  # of mixed types
        return None

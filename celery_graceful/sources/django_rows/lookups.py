"""Conditions and orders as expressions of Django's ORM."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce
from itertools import count
from operator import and_, or_
from typing import Any

from django.db.models import BooleanField, F, FloatField, Func, Q, Value

from celery_graceful.sources.keyset.predicate import (
    AllOf,
    Compare,
    CompareRows,
    Condition,
    IsNull,
    OneOf,
    Term,
)

_LOOKUPS = {"=": "exact", "<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


class RowComparison(Func):  # type: ignore[misc]
    """``(a, b) > (1, 2)``, each value converted as its column's are."""

    def __init__(self, names: Sequence[str], operator: str, values: Sequence[Any]) -> None:
        given = (value if isinstance(value, Value) else Value(value) for value in values)
        super().__init__(*map(F, names), *given, output_field=BooleanField())
        self.operator = operator

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Any:
        """Give each value the type of its column."""
        resolved = super().resolve_expression(*args, **kwargs)
        found = resolved.get_source_expressions()
        columns = found[: len(found) // 2]
        given = self.get_source_expressions()[len(columns) :]
        values = [
            value if _is_typed(value) else Value(value.value, output_field=column.output_field)
            for column, value in zip(columns, given, strict=True)
        ]
        resolved.set_source_expressions(
            [*columns, *(value.resolve_expression(*args, **kwargs) for value in values)]
        )
        return resolved

    def as_sql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:
        """The comparison as SQL, with its parameters."""
        compiled = [compiler.compile(part) for part in self.get_source_expressions()]
        texts = [text for text, _ in compiled]
        half = len(texts) // 2
        parameters = [value for _, values in compiled for value in values]
        left, right = ", ".join(texts[:half]), ", ".join(texts[half:])
        return f"({left}) {self.operator} ({right})", parameters


def _is_typed(value: Value) -> bool:
    return isinstance(value, Slot) or isinstance(value._output_field_or_none, FloatField)


class Slot(Value):  # type: ignore[misc]
    """Stands for a value in a statement that is compiled once, and run with several values.

    Args:
        place: which of the values.
        output_field: the field that converts it.
    """

    def __init__(self, place: int, output_field: Any) -> None:
        super().__init__(place, output_field=output_field)

    def as_sql(self, *_: Any) -> tuple[str, list[Any]]:
        """A parameter, which is this slot until it is replaced."""
        return "%s", [self]

    def prepared(self, values: Sequence[Any], connection: Any) -> Any:
        """Its value as the driver wants it."""
        return self.output_field.get_db_prep_value(values[self.value], connection=connection)


class Lookups:
    """Conditions and terms about the columns of one order.

    Args:
        floats: the names of the columns that are compared as floats, whatever their field is.
    """

    def __init__(self, floats: Collection[str] = ()) -> None:
        self._floats = floats

    def all_of(self, conditions: Iterable[Condition]) -> Q:
        """All of them as one ``Q``; an empty one, which holds for every row, of none."""
        return reduce(and_, (q for q in map(self._q, conditions) if q), Q())

    def terms(self, terms: Iterable[Term]) -> list[Any]:
        """The arguments of ``order_by()``."""
        return [_term(term) for term in terms]

    def _q(self, condition: Condition) -> Q:
        match condition:
            case Compare(name, operator, value):
                return Q(**{f"{name}__{_LOOKUPS[operator]}": self._value(name, value)})
            case CompareRows(names, operator, values):
                return Q(RowComparison(names, operator, list(map(self._value, names, values))))
            case IsNull(name, null):
                return Q(**{f"{name}__isnull": null})
            case AllOf(conditions):
                return self.all_of(conditions)
            case OneOf(conditions):
                parts = [self._q(part) for part in conditions]
                # An empty Q holds for every row by itself, and for none within an OR of Django's.
                if not all(parts):
                    return Q()
                return reduce(or_, parts) if parts else Q(pk__in=[])

    def _value(self, name: str, value: Any) -> Any:
        return Value(float(value), output_field=FloatField()) if name in self._floats else value


class SlotLookups(Lookups):
    """Lookups with a slot for each value, numbered as :func:`~.predicate.shape` finds them.

    Args:
        fields: those that convert the values, by the columns' names.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__()
        self._fields = fields
        self._places = count()

    def _value(self, name: str, value: Any) -> Any:
        return Slot(next(self._places), self._fields[name])


def _term(term: Term) -> Any:
    # What a database does anyway is written as well: PostgreSQL still uses its index for it.
    nulls = {("nulls_first" if term.descending else "nulls_last"): True} if term.ranked else {}
    column = F(term.name)
    return column.desc(**nulls) if term.descending else column.asc(**nulls)

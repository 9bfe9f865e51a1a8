"""The rows behind a key, as conditions that a database answers from an index.

Rows are read in *segments*, one query each, of which the first that are not done are asked in
turn. Without ``NULL`` there is one. A first column that may be ``NULL`` makes two: the rows with a
value, and those without; so no ``CASE`` keeps the index from being used. A later column that may
be ``NULL`` is ranked by a ``CASE`` in ``ORDER BY`` (``NULLS LAST`` is not portable).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from celery_graceful.sources.keyset.order import Key, Order

Operator: TypeAlias = Literal["=", "<", "<=", ">", ">="]
_INCLUSIVE: dict[Operator, Operator] = {"<": "<=", ">": ">="}


@dataclass(frozen=True, slots=True)
class Compare:
    """``name operator value``; the value is never ``None``."""

    name: str
    operator: Operator
    value: Any


@dataclass(frozen=True, slots=True)
class CompareRows:
    """``(name, name …) operator (value, value …)``: a comparison of row values."""

    names: tuple[str, ...]
    operator: Operator
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class IsNull:
    """``name IS NULL``, or ``IS NOT NULL``."""

    name: str
    null: bool = True


@dataclass(frozen=True, slots=True)
class AllOf:
    """All of the conditions; true when there are none."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of the conditions at least; false when there are none."""

    conditions: tuple[Condition, ...]


Condition: TypeAlias = Compare | CompareRows | IsNull | AllOf | OneOf


@dataclass(frozen=True, slots=True)
class Term:
    """A term of ``ORDER BY``."""

    name: str
    descending: bool
    #: Put ``CASE WHEN name IS NULL THEN 1 ELSE 0 END``, in the same direction, before it.
    ranked: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """One query: the rows for which all conditions hold, in the order of the terms."""

    conditions: tuple[Condition, ...]
    terms: tuple[Term, ...]


def segments(
    order: Order,
    after: Sequence[Any] | None = None,
    until: Sequence[Any] | None = None,
    *,
    row_values: bool = True,
) -> list[Segment]:
    """The queries that return, one after the other, the rows behind a key.

    Args:
        order: of the rows.
        after: the key that is done; ``None`` from the first row on.
        until: the key, or the values of its first columns, up to and including which rows are
            wanted; ``None`` for all.
        row_values: whether the database answers a comparison of row values from an index, as
            PostgreSQL and SQLite do and MySQL and MariaDB do not.
    """
    parts = _parts(order.keys, after, row_values)
    bound = () if until is None else (up_to(order, until, row_values=row_values),)
    return [Segment((*part.conditions, *bound), part.terms) for part in parts]


def up_to(order: Order, key: Sequence[Any], *, row_values: bool = True) -> Condition:
    """The rows up to and including ``key``, which may be the values of the first columns only."""
    keys = order.reversed.keys[: len(key)]
    return _behind(keys, key, inclusive=True, row_values=row_values)


# -- segments --------------------------------------------------------------------------------


def _parts(
    keys: tuple[Key, ...], after: Sequence[Any] | None, row_values: bool
) -> Iterator[Segment]:
    first = keys[0]
    if not first.nullable:
        yield _in_one(keys, after, row_values)
        return
    in_nulls = after is not None and after[0] is None
    in_values = after is not None and after[0] is not None
    if first.descending:  # those without a value come first
        if not in_values:
            yield from _nulls(keys, after, row_values)
        yield _values(keys, after if in_values else None, row_values)
    else:
        if not in_nulls:
            yield _values(keys, after, row_values)
        yield from _nulls(keys, after if in_nulls else None, row_values)


def _values(keys: tuple[Key, ...], after: Sequence[Any] | None, row_values: bool) -> Segment:
    known = Key(keys[0].name, keys[0].descending)
    found = _in_one((known, *keys[1:]), after, row_values)
    return Segment((IsNull(known.name, null=False), *found.conditions), found.terms)


def _nulls(
    keys: tuple[Key, ...], after: Sequence[Any] | None, row_values: bool
) -> Iterator[Segment]:
    fixed = IsNull(keys[0].name)
    if len(keys) == 1:
        if after is None:
            yield Segment((fixed,), ())
        return
    for part in _parts(keys[1:], None if after is None else after[1:], row_values):
        yield Segment((fixed, *part.conditions), part.terms)


def _in_one(keys: tuple[Key, ...], after: Sequence[Any] | None, row_values: bool) -> Segment:
    terms = tuple(Term(key.name, key.descending, key.nullable) for key in keys)
    if after is None:
        return Segment((), terms)
    return Segment((_behind(keys, after, inclusive=False, row_values=row_values),), terms)


# -- behind a key ----------------------------------------------------------------------------


def _behind(
    keys: tuple[Key, ...], values: Sequence[Any], *, inclusive: bool, row_values: bool
) -> Condition:
    one_way = len({key.descending for key in keys}) == 1
    complete = not any(key.nullable for key in keys)
    if len(keys) == 1:
        return _one_behind(keys[0], values[0], inclusive)
    if one_way and complete and row_values:
        operator = _operator(keys[0], inclusive)
        names = tuple(key.name for key in keys)
        return CompareRows(names, operator, tuple(values))
    found = OneOf(tuple(_ways(keys, values, inclusive)))
    if keys[0].nullable:
        return found
    # By itself the OR shows no planner where to begin.
    return AllOf((Compare(keys[0].name, _operator(keys[0], True), values[0]), found))


def _ways(keys: tuple[Key, ...], values: Sequence[Any], inclusive: bool) -> Iterator[Condition]:
    """Each way to be behind: equal in so many columns, and behind in the next."""
    for place, key in enumerate(keys):
        last = place == len(keys) - 1
        step = _one_behind(key, values[place], inclusive and last)
        before = [_equal(k, v) for k, v in zip(keys[:place], values[:place], strict=True)]
        if step != OneOf(()):
            yield AllOf((*before, step)) if before else step


def _one_behind(key: Key, value: Any, inclusive: bool) -> Condition:
    if value is None:
        if key.descending:  # all values come behind
            return AllOf(()) if inclusive else IsNull(key.name, null=False)
        return IsNull(key.name) if inclusive else OneOf(())
    step = Compare(key.name, _operator(key, inclusive), value)
    if key.nullable and not key.descending:
        return OneOf((step, IsNull(key.name)))
    return step


def _equal(key: Key, value: Any) -> Condition:
    return IsNull(key.name) if value is None else Compare(key.name, "=", value)


def _operator(key: Key, inclusive: bool) -> Operator:
    strict: Operator = "<" if key.descending else ">"
    return _INCLUSIVE[strict] if inclusive else strict


# -- shapes ----------------------------------------------------------------------------------


def shape(condition: Condition, values: list[Any]) -> Any:
    """The condition without its values, which are appended to ``values``.

    Conditions of one shape are one statement with other parameters.
    """
    if isinstance(condition, IsNull):
        return condition
    if isinstance(condition, Compare):
        values.append(condition.value)
        return condition.name, condition.operator
    if isinstance(condition, CompareRows):
        values += condition.values
        return condition.names, condition.operator
    return type(condition), tuple(shape(part, values) for part in condition.conditions)

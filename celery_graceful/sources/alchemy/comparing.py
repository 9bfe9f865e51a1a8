"""Key columns as they are compared: read and bound such that the database gets back what it gave.

What Python makes of a value may be less than the column holds: SQLite keeps moments and decimals as
texts and floats in any form, a ``Numeric(asdecimal=False)`` rounds. Compared with such a value, a
row would come again, or the next one be left out.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Dialect,
    and_,
    bindparam,
    cast,
    false,
    or_,
    true,
    tuple_,
    type_coerce,
    types,
)
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.type_api import TypeEngine

from celery_graceful.errors import SourceError
from celery_graceful.sources.alchemy.selected import NAME
from celery_graceful.sources.keyset.predicate import (
    AllOf,
    Compare,
    CompareRows,
    Condition,
    IsNull,
)

_OPERATORS: dict[str, Any] = {
    "=": operators.eq,
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}
#: Those that answer a comparison of row values from an index.
_WITH_ROW_VALUES = ("postgresql", "sqlite")
#: What the names of the parameters begin with.
PARAMETER = "graceful_"
_MYSQL = ("mysql", "mariadb")


class Comparing:
    """The key columns of one statement on one kind of database.

    Args:
        columns: by name.
        dialect: the database's.
    """

    def __init__(self, columns: dict[str, ColumnElement[Any]], dialect: Dialect) -> None:
        self._dialect, self._columns = dialect, columns
        self._types = {name: _bound_type(name, c, dialect) for name, c in columns.items()}
        #: The columns as they are read.
        self.columns: dict[str, ColumnElement[Any]] = {
            name: _read(column, self._types[name]) for name, column in columns.items()
        }
        tables = {hash(getattr(column, "table", None)) for column in columns.values()}
        #: Whether row values are compared from an index: of one table only.
        self.row_values = dialect.name in _WITH_ROW_VALUES and len(tables) == 1

    def sql(self, condition: Condition, values: list[Any]) -> ColumnElement[bool]:
        """A condition in SQLAlchemy's terms, with parameters in place of its values.

        The values are appended to ``values``: the parameter ``graceful_3`` is the fourth of them.
        """
        if isinstance(condition, IsNull):
            column = self.columns[condition.name]
            return column.is_(None) if condition.null else column.is_not(None)
        if isinstance(condition, Compare):
            value = self._bound(condition.name, condition.value, values)
            found = _OPERATORS[condition.operator](self.columns[condition.name], value)
            return found  # type: ignore[no-any-return]
        if isinstance(condition, CompareRows):
            names = condition.names
            left = tuple_(*(self.columns[name] for name in names))
            right = [
                self._bound(n, v, values) for n, v in zip(names, condition.values, strict=True)
            ]
            return _OPERATORS[condition.operator](left, tuple_(*right))  # type: ignore[no-any-return]
        inner = [self.sql(part, values) for part in condition.conditions]
        if isinstance(condition, AllOf):
            return and_(true(), *inner)
        return or_(false(), *inner)

    def _bound(self, name: str, value: Any, values: list[Any]) -> ColumnElement[Any]:
        kind = self._types[name]
        bound = bindparam(f"{PARAMETER}{len(values)}", type_=kind)
        values.append(value)
        if self._dialect.name == "postgresql" and isinstance(kind, types.Float):
            return cast(bound, kind)  # else a REAL is compared with a number of more digits
        return bound

    def as_read(self, name: str, value: Any) -> Any:
        """A value of the user's, such as a ``datetime``, as the column's values are read."""
        column, kind = self._columns[name], self._types[name]
        if value is None or kind is column.type:
            return value
        if not isinstance(kind, types.NullType):
            decorator: Any = column.type
            decorated = isinstance(decorator, types.TypeDecorator)
            return decorator.process_bind_param(value, self._dialect) if decorated else value
        process = column.type.dialect_impl(self._dialect).bind_processor(self._dialect)
        return value if process is None else process(value)


def _read(column: ColumnElement[Any], kind: TypeEngine[Any]) -> Any:
    return column if kind is column.type else type_coerce(column, kind)


def _bound_type(name: str, column: ColumnElement[Any], dialect: Dialect) -> TypeEngine[Any]:
    """The type by which a column's values are read and bound."""
    kind: Any = column.type
    if isinstance(kind, types.TypeDecorator):
        kind = kind.load_dialect_impl(dialect)
    if isinstance(kind, types.Enum) and (kind.native_enum and dialect.name != "sqlite"):
        raise SourceError(
            f"{NAME}: {name} is an ENUM, whose values are sorted and compared differently;"
            " order by another column"
        )
    if isinstance(kind, types.Enum):
        return types.String()
    if dialect.name == "sqlite":
        return kind if _as_it_is(kind, dialect) else types.NullType()
    if dialect.name in _MYSQL:
        if isinstance(kind, types.Float) and not isinstance(kind, types.Double):
            raise SourceError(
                f"{NAME}: {name} is a FLOAT, which MySQL and MariaDB return rounded; order by"
                " another column, or make it a DOUBLE"
            )
        if isinstance(kind, types.Time):
            return types.NullType()  # may be more than a day, or negative
    if isinstance(kind, types.Numeric) and not isinstance(kind, types.Float):
        return kind if kind.asdecimal else types.Numeric(kind.precision, kind.scale)
    return kind  # type: ignore[no-any-return]


def _as_it_is(kind: TypeEngine[Any], dialect: Dialect) -> bool:
    """Whether the driver's values reach Python, and go back, unchanged."""
    impl = kind.dialect_impl(dialect)
    return impl.result_processor(dialect, None) is None and impl.bind_processor(dialect) is None

"""How many rows a statement has: counted, or as the database's planner estimates."""

from __future__ import annotations

import json
import logging
from typing import Any, Literal, TypeAlias, get_args

from sqlalchemy import Select, func, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ClauseElement, Executable

from celery_graceful.errors import SourceError
from celery_graceful.sources.alchemy.connecting import Target
from celery_graceful.sources.alchemy.selected import NAME

logger = logging.getLogger("celery_graceful.sources")

#: How rows are counted; never by default.
Count: TypeAlias = Literal["exact", "estimate"]


def check_count(count: Any) -> Count | None:
    """``count`` when it is one of the ways to count.

    Raises:
        SourceError: it is not.
    """
    if count is not None and count not in get_args(Count):
        raise SourceError(
            f"{NAME}: count={count!r:.100} is unknown; write 'exact' (a full count), 'estimate'"
            " (the planner's, on PostgreSQL, MySQL and MariaDB), or leave it out"
        )
    return count  # type: ignore[no-any-return]


def counted_rows(stmt: Select[Any], target: Target, count: Count | None) -> int | None:
    """The number of rows; ``None`` when it was not asked for, or is not known."""
    if count is None:
        return None
    rows: Select[Any] = stmt.order_by(None).with_only_columns(
        literal_column("1"), maintain_column_froms=True
    )
    if count == "exact":
        number: int = target.run(
            select(func.count()).select_from(rows.subquery()), lambda result: result.scalar_one()
        )
        return number
    dialect = target.dialect(stmt)
    if dialect.name == "postgresql":
        return target.run(_Explain(rows, "EXPLAIN (FORMAT JSON)"), _of_postgresql)
    if dialect.name in ("mysql", "mariadb"):
        extended = "EXPLAIN EXTENDED" if getattr(dialect, "is_mariadb", False) else "EXPLAIN"
        return target.run(_Explain(rows, extended), _of_mysql)
    logger.warning(
        "%s: %s has no estimate of a query's rows, so that the total is not known;"
        ' write count="exact" for a full count',
        NAME,
        dialect.name,
    )
    return None


class _Explain(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, stmt: Select[Any], keyword: str) -> None:
        self.stmt, self.keyword = stmt, keyword


@compiles(_Explain)
def _compiled(element: _Explain, compiler: Any, **options: Any) -> str:
    return f"{element.keyword} {compiler.process(element.stmt, **options)}"


def _of_postgresql(result: Any) -> int:
    plan = result.scalar_one()
    found = json.loads(plan) if isinstance(plan, str) else plan
    return int(found[0]["Plan"]["Plan Rows"])


def _of_mysql(result: Any) -> int:
    """The product over the joined tables: each one's rows, of which so many per cent are kept."""
    rows, first = 1.0, None
    for row in result.mappings():
        first = row["id"] if first is None else first
        if row["id"] == first:
            rows *= float(row["rows"] or 0) * float(row["filtered"] or 100) / 100
    return round(rows)

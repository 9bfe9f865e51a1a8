"""How many rows a queryset has: counted, or as the database's planner estimates."""

from __future__ import annotations

import json
import logging
from typing import Any, Literal, TypeAlias, get_args

from celery_graceful.errors import SourceError

logger = logging.getLogger("celery_graceful.sources")

#: How rows are counted; never by default.
Count: TypeAlias = Literal["exact", "estimate"]


def check_count(count: object) -> None:
    """Refuse what is no way to count.

    Raises:
        SourceError: it is not ``None`` or one of :data:`Count`.
    """
    if count is not None and count not in get_args(Count):
        raise SourceError(
            f"sources.queryset: count={count!r:.100} is unknown; write 'exact' (a full count),"
            " 'estimate' (the planner's, on PostgreSQL, MySQL and MariaDB), or leave it out"
        )


def counted_rows(qs: Any, count: Count | None) -> int | None:
    """The number of rows; ``None`` when it was not asked for, or is not known."""
    if count is None:
        return None
    plain = qs.order_by()
    return int(plain.count()) if count == "exact" else _estimated(plain)


def _estimated(qs: Any) -> int | None:
    """As good as the table's statistics: see ``ANALYZE`` of the database."""
    from django.core.exceptions import EmptyResultSet
    from django.db import connections

    vendor = connections[qs.db].vendor
    if vendor not in ("postgresql", "mysql"):
        logger.warning(
            "sources.queryset: %s has no estimate of a query's rows, so that the total is not"
            ' known; write count="exact" for a full count',
            vendor,
        )
        return None
    try:
        qs.query.get_compiler(qs.db).as_sql()
    except EmptyResultSet:  # explain() fails where Django would ask nothing
        return 0
    plan = json.loads(qs.explain(format="json"))
    if isinstance(plan, str):  # of MySQL and MariaDB, which answer JSON in a text
        plan = json.loads(plan)
    return _of_postgresql(plan) if vendor == "postgresql" else _of_mysql(plan)


def _of_postgresql(plan: Any) -> int:
    return int(plan[0]["Plan"]["Plan Rows"])


def _of_mysql(plan: Any) -> int:
    """The product over the joined tables of the rows that are read and not filtered out."""
    tables = list(_tables(plan))
    product = float(bool(tables))  # none at all: an impossible condition
    for table in tables:
        rows = table.get("rows_examined_per_scan", table.get("rows", 1))
        product *= rows * float(table.get("filtered", 100)) / 100
    return round(product)


def _tables(part: Any) -> Any:
    if isinstance(part, list):
        for one in part:
            yield from _tables(one)
    elif isinstance(part, dict):
        for name, one in part.items():
            if name == "table" and isinstance(one, dict) and "table_name" in one:
                yield one
            elif "subquer" not in name:
                yield from _tables(one)

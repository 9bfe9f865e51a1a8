"""Querysets that no key can resume, each with what to write instead."""

from __future__ import annotations

from typing import Any

from celery_graceful.errors import SourceError


def as_queryset(given: Any) -> Any:
    """The queryset, or that of a manager.

    Raises:
        SourceError: it is something else.
    """
    try:
        from django.db.models import Manager, QuerySet
    except ImportError as exc:
        raise SourceError(
            "sources.queryset needs Django: pip install 'celery-graceful[django]'"
        ) from exc

    if isinstance(given, Manager):
        return given.all()
    if isinstance(given, QuerySet):
        return given
    raise SourceError(
        f"sources.queryset needs a queryset or a manager, such as Customer.objects, not"
        f" {type(given).__name__}; for a list use sources.sequence, for rows of raw SQL"
        " sources.select"
    )


def check(qs: Any) -> None:
    """Refuse what would lose or repeat rows, or read them all for each page.

    Raises:
        SourceError: naming what the queryset has, and what to write.
    """
    query = qs.query
    if query.is_sliced:
        raise _refused(
            qs,
            "is sliced, and a slice counts rows that come and go; leave the slice out, and end"
            " early with a filter or upper_bound=",
        )
    if query.combinator:
        raise _refused(
            qs,
            f"is a {query.combinator}(), which cannot be filtered; write one filter with"
            " Q(...) | Q(...), or give each part a source of its own and join them with"
            " sources.chained",
        )
    if query.distinct_fields:
        raise _refused(
            qs,
            f"has distinct({', '.join(map(repr, query.distinct_fields))}), which chooses rows by an"
            " order of its own; filter with pk__in= and that queryset as a subquery",
        )
    if qs._fields is not None and query.distinct:
        raise _refused(
            qs,
            "has distinct() on values(), whose rows have no primary key; iterate over the model"
            " whose rows these are, or over a list: sources.sequence(list(queryset))",
        )
    if qs._fields is not None and query.group_by is not None and not _one_group_a_row(qs):
        raise _refused(
            qs,
            "groups rows by values(), and groups have no primary key; annotate the model that is"
            " grouped by (Customer.objects.annotate(orders=Count('order'))), or iterate over a"
            " list: sources.sequence(list(queryset))",
        )
    if query.extra_order_by:
        raise _refused(
            qs,
            "has extra(order_by=...); annotate the expression (RawSQL) and name it in order_by=",
        )
    joined = multiplying_joins(qs)
    if joined and not query.distinct and query.group_by is None:
        raise _refused(
            qs,
            f"joins {' and '.join(joined)}, which has several rows for one of"
            f" {qs.model.__name__}, so that one comes several times; add distinct(), or filter with"
            " Exists(...) or pk__in= instead",
        )


def multiplying_joins(qs: Any) -> list[str]:
    """The tables that are joined with several rows for one, sorted by name."""
    query = qs.query
    return sorted(
        {
            join.table_name
            for alias, join in query.alias_map.items()
            if query.alias_refcount.get(alias)
            and getattr(getattr(join, "join_field", None), "multiple", False)
        }
    )


def _one_group_a_row(qs: Any) -> bool:
    """Whether an aggregation's groups are the rows of the model: the primary key is in them."""
    query = qs.query
    if query.group_by is True:
        return True
    grouped = {
        column.target
        for column in query.group_by
        if hasattr(column, "target") and column.alias == query.base_table
    }
    return grouped.issuperset(key_fields(qs.model))


def key_fields(model: Any) -> list[Any]:
    """The fields of the primary key: several for a ``CompositePrimaryKey``."""
    return list(getattr(model._meta, "pk_fields", None) or [model._meta.pk])


def _refused(qs: Any, why: str) -> SourceError:
    return SourceError(f"sources.queryset: the queryset of {qs.model.__name__} {why}")

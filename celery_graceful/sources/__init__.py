"""Enumerators for iterable tasks.

Each yields pairs ``(item, cursor)``, where the cursor means *done up to and including this item*,
and begins after ``cursor`` (``None``: from the start) without reading again what is done::

    def build_enumerator(self, path, *, cursor):
        return sources.csv_rows(path, cursor=cursor)

What a source needs beside the standard library is an extra of this package, and is imported when
the source is called.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from celery_graceful.sources.basic import numbers, sequence
from celery_graceful.sources.batching import batched, batches
from celery_graceful.sources.reading.csv_files import csv_count, csv_rows
from celery_graceful.sources.reading.folders import files
from celery_graceful.sources.reading.text_files import jsonl, lines
from celery_graceful.sources.skipping import SKIPPED, SkippingSource

if TYPE_CHECKING:
    from celery_graceful.errors import TokenExpired
    from celery_graceful.sources.combining import chained, filtered, nested
    from celery_graceful.sources.django_rows import queryset
    from celery_graceful.sources.http_pages import pages
    from celery_graceful.sources.reading.listings import objects
    from celery_graceful.sources.reading.parquet_rows import parquet, parquet_count
    from celery_graceful.sources.redis_scans import (
        redis_hscan,
        redis_scan,
        redis_sscan,
        redis_zscan,
    )
    from celery_graceful.sources.sqlalchemy_rows import select

__all__ = [
    "SKIPPED",
    "SkippingSource",
    "TokenExpired",
    "batched",
    "batches",
    "chained",
    "csv_count",
    "csv_rows",
    "files",
    "filtered",
    "jsonl",
    "lines",
    "nested",
    "numbers",
    "objects",
    "pages",
    "parquet",
    "parquet_count",
    "queryset",
    "redis_hscan",
    "redis_scan",
    "redis_sscan",
    "redis_zscan",
    "select",
    "sequence",
]

#: The modules of the names that are imported on first use.
_HOMES = {
    "TokenExpired": "http_pages",
    "chained": "combining",
    "filtered": "combining",
    "nested": "combining",
    "objects": "reading.listings",
    "pages": "http_pages",
    "parquet": "reading.parquet_rows",
    "parquet_count": "reading.parquet_rows",
    "queryset": "django_rows",
    "redis_hscan": "redis_scans",
    "redis_scan": "redis_scans",
    "redis_sscan": "redis_scans",
    "redis_zscan": "redis_scans",
    "select": "sqlalchemy_rows",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

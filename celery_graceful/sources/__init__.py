"""Enumerators for iterable tasks, from the standard library alone.

Each yields pairs ``(item, cursor)``, where the cursor means *done up to and including this item*,
and begins after ``cursor`` (``None``: from the start) without reading again what is done::

    def build_enumerator(self, path, *, cursor):
        return sources.csv_rows(path, cursor=cursor)
"""

from __future__ import annotations

from celery_graceful.sources.basic import batches, numbers, sequence
from celery_graceful.sources.reading.csv_files import csv_count, csv_rows
from celery_graceful.sources.reading.folders import files
from celery_graceful.sources.reading.text_files import jsonl, lines

__all__ = [
    "batches",
    "csv_count",
    "csv_rows",
    "files",
    "jsonl",
    "lines",
    "numbers",
    "sequence",
]

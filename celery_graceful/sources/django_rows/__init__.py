"""Rows of Django's ORM, resumable at a key.

- :mod:`.queryset_source`: :func:`queryset`, the public function;
- :mod:`.refusals`: querysets that cannot be resumed, each with what to write instead;
- :mod:`.columns`: the columns of the order, looked up in the model;
- :mod:`.lookups`: conditions and orders as expressions of the ORM;
- :mod:`.row_forms`: instances, dicts, tuples, single values, and the key of each;
- :mod:`.queryset_counts`: how many rows there are, exactly or as the planner estimates.
"""

from __future__ import annotations

from celery_graceful.sources.django_rows.queryset_source import queryset

__all__ = ["queryset"]

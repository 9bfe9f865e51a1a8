"""Items' work and their checkpoint in one transaction of the task's own database."""

from __future__ import annotations

from celery_graceful.atomic.database import (
    Busy,
    Claim,
    Database,
    Mark,
    Row,
    Work,
    is_committed_for_items,
    own_blocks,
)
from celery_graceful.atomic.option import Atomic, Every

__all__ = [
    "Atomic",
    "Busy",
    "Claim",
    "Database",
    "Every",
    "Mark",
    "Row",
    "Work",
    "is_committed_for_items",
    "own_blocks",
]

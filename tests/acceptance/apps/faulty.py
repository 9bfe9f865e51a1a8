"""An application with one task that is not written as it has to be, beside those that are."""

from __future__ import annotations

from collections.abc import Iterator

from celery_graceful import IterableTask
from tests.acceptance.apps.items import app


def fixed(path: str, items: int, pause: float) -> Iterator[int]:
    """No cursor: it could not resume."""
    yield 1


app.task(name="items.faulty", base=IterableTask)(fixed)

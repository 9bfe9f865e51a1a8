"""A Django app that makes each batch of the import take longer, to have time to interrupt it."""

# mypy: ignore-errors
from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.apps import AppConfig

#: Seconds that each batch takes longer, until there is this file.
PAUSE = float(os.environ.get("PAUSE", "0"))
UNTIL = os.environ.get("PAUSE_UNTIL", "")


class Slow(AppConfig):
    """Slows the import down by its hook around each item."""

    name = "tests.shop.slow"

    def ready(self) -> None:
        from products.tasks import ImportProducts

        if PAUSE:
            ImportProducts.around_iteration = _longer


@contextmanager
def _longer(self, rows, *args, **kwargs) -> Iterator[None]:
    yield
    if not os.path.exists(UNTIL):
        time.sleep(PAUSE)

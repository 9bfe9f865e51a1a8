"""A run that finds nothing for as long as there is no file beside its ledger."""

from __future__ import annotations

import os
import time
from typing import Any

from celery_graceful import IterableTask, iterable_task, sources
from tests.acceptance.apps.making import make_app
from tests.harness.ledger import Ledger

app = make_app("searching")


@iterable_task
class Search(IterableTask):
    name = "searching.search"

    def build_enumerator(self, path: str, items: int, pause: float, *, cursor: int | None) -> Any:
        Ledger(path).add("begun")

        def is_found(number: int) -> bool:
            time.sleep(0.001)
            return os.path.exists(f"{path}.hurry")

        return sources.filtered(sources.numbers(0, items, cursor=cursor), is_found)

    def each_iteration(self, number: int, path: str, items: int, pause: float) -> None:
        Ledger(path).add(number)

"""Runs that write PROGRESS, until they are aborted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from celery.contrib.abortable import AbortableTask

from celery_graceful import IterableTask
from tests.acceptance.apps.making import make_app, note

app = make_app("progress")


class Abortable(AbortableTask, IterableTask):  # type: ignore[type-arg]
    """Items until it is aborted, which it sees by its state."""

    name = "progress.abortable"
    checkpoint_interval = 0.05

    def build_enumerator(self, *, cursor: int | None, tag: str) -> Iterator[tuple[int, int]]:
        item, task_id = cursor or 0, str(self.request.id)
        while not self.is_aborted(task_id=task_id):
            item += 1
            yield item, item

    def each_iteration(self, item: int, *, tag: str) -> None:
        time.sleep(0.02)
        note(f"{tag}:{item}")

    def count(self, *, tag: str) -> int:
        return 10**6

    def result(self, *, tag: str) -> Any:
        return tag


app.register_task(Abortable())

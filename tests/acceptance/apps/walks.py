"""Tasks of several projects: a walk until a test says that it is enough."""

from __future__ import annotations

import time
from collections.abc import Iterator

from celery_graceful import IterableTask
from tests.acceptance.apps.making import note, noted


class Walk(IterableTask):
    """Items until somebody notes ``<tag> enough``."""

    checkpoint_interval = 0.05

    def build_enumerator(self, tag: str, *, cursor: int | None) -> Iterator[tuple[int, int]]:
        item = cursor or 0
        while not noted(f"{tag} enough"):
            item += 1
            yield item, item

    def each_iteration(self, item: int, tag: str) -> None:
        note(f"{tag} {item}")
        time.sleep(0.02)

    def result(self, tag: str) -> str:
        return tag


class RetriedWalk(Walk):
    """One that fails once, and is retried at once."""

    autoretry_for = (ZeroDivisionError,)
    default_retry_delay = 0
    retry_jitter = False

    def each_iteration(self, item: int, tag: str) -> None:
        super().each_iteration(item, tag)
        if item == 2 and not noted(f"{tag} failed"):
            note(f"{tag} failed")
            raise ZeroDivisionError

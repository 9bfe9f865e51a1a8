"""Runs that operators change while they run, fail and hang."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import Any

from celery_graceful import IterableTask, sources
from tests.acceptance.apps.making import make_app, note, noted

app = make_app("operated")

ITEM = 0.01


@app.task(name="operated.counted", base=IterableTask, bind=True)
def counted(
    self: Any, tag: str, items: int, *, cursor: int | None = None
) -> Generator[int, None, Any]:
    """Items from 1 on, each noted; fails at 5 and hangs at 7 for tags of that name, until told."""
    for item in range((cursor or 0) + 1, items + 1):
        if tag.startswith("fails") and item == 5 and not noted(f"{tag} is fixed"):
            raise ValueError("a bad row")
        note(f"{tag}:{item}")
        if tag.startswith("hangs") and item == 7:
            _hang(tag)
        time.sleep(0 if noted("hurry") else ITEM)
        self.carry["sum"] = self.carry.get("sum", 0) + item
        yield item
    return self.carry["sum"]


def _hang(tag: str) -> None:
    """The first to come here hangs until the test lets it go on."""
    if noted(f"{tag} hangs"):
        return
    note(f"{tag} hangs")
    while not noted(f"{tag} goes on"):
        time.sleep(ITEM)


class Batched(IterableTask):
    """Batches of ten, whose sizes are noted."""

    name = "operated.batched"

    def build_enumerator(self, tag: str, *, cursor: int | None) -> Iterator[tuple[Any, Any]]:
        return sources.batched(sources.numbers(1, 1_000_000, cursor=cursor), 10)

    def each_iteration(self, batch: list[int], tag: str) -> None:
        time.sleep(ITEM)
        note(f"{tag}:{len(batch)}")


app.register_task(Batched())


@app.task(name="operated.tell")
def tell(result: Any, what: str) -> None:
    """A callback."""
    note(f"{what}={result}")


@app.task(name="operated.tell_error")
def tell_error(request: Any, exc: Any, traceback: Any, what: str) -> None:
    """An errback."""
    note(what)

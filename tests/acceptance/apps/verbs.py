"""Runs to be revoked, limited, delivered twice and watched."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import Any

from celery import signals
from celery.exceptions import SoftTimeLimitExceeded

from celery_graceful import IterableTask
from tests.acceptance.apps.making import make_app, note, noted

app = make_app("verbs")

ITEM = 0.005


def _tell(name: str) -> None:
    def receiver(
        sender: Any = None, task_id: str | None = None, request: Any = None, **_: Any
    ) -> None:
        note(f"{name}={task_id or (request or sender.request).id}")

    getattr(signals, name).connect(receiver, weak=False)


for _name in ("task_prerun", "task_postrun", "task_success", "task_failure", "task_revoked"):
    _tell(_name)


class Endless(IterableTask):
    """Items until ``until`` is noted; at most one in flight."""

    name = "verbs.endless"
    checkpoint_interval = 0.1

    def build_enumerator(
        self, *, tag: str, until: str, cursor: int | None, **_: Any
    ) -> Iterator[tuple[int, int]]:
        item = cursor or 0
        while not noted(until):
            item += 1
            yield item, item

    def each_iteration(self, item: int, *, tag: str, until: str) -> None:
        time.sleep(ITEM)
        note(f"{tag}:{item}")

    def on_cancel(self, *, tag: str, until: str) -> None:
        note(f"{tag}!cancelled")

    def result(self, *, tag: str, until: str) -> str:
        return tag


app.register_task(Endless())


@app.task(base=IterableTask, bind=True, name="verbs.counted", checkpoint_interval=0.1)
def counted(self: Any, n: int, *, tag: str, cursor: int = 0) -> Generator[int, None, Any]:
    """``n`` items."""
    for item in range(cursor + 1, n + 1):
        time.sleep(ITEM)
        note(f"{tag}:{item}")
        yield item
    return n


class Measured(IterableTask):
    """``n`` items, whose number is known; an execution lasts as long as its caller says."""

    name = "verbs.measured"
    checkpoint_interval = 0.05
    max_execution_time = 0.3

    def count(self, n: int, *, tag: str) -> int:
        return n

    def build_enumerator(
        self, n: int, *, tag: str, cursor: int | None
    ) -> Iterator[tuple[int, int]]:
        return ((item, item) for item in range((cursor or 0) + 1, n + 1))

    def each_iteration(self, item: int, n: int, *, tag: str) -> None:
        time.sleep(ITEM)
        note(f"{tag}:{item}")

    def result(self, n: int, *, tag: str) -> int:
        return n


app.register_task(Measured())


@app.task(
    base=IterableTask,
    bind=True,
    name="verbs.stuck",
    autoretry_for=(SoftTimeLimitExceeded,),
    default_retry_delay=0,
    retry_backoff=False,
)
def stuck(self: Any, *, tag: str, times: int, cursor: int = 0) -> Generator[int, None, Any]:
    """Ten items; the sixth hangs ``times`` times."""
    for item in range(cursor + 1, 11):
        if item == 6 and not noted(f"{tag}?{times}"):
            seen = next(i for i in range(1, times + 1) if not noted(f"{tag}?{i}"))
            note(f"{tag}?{seen}")
            time.sleep(30)
        note(f"{tag}:{item}")
        yield item
    return "done"


@app.task(base=IterableTask, bind=True, name="verbs.waits")
def waits(self: Any, countdown: float, *, tag: str, cursor: int = 0) -> Generator[int, None, Any]:
    """Three items, then a retry, later three more."""
    for item in range(cursor + 1, 7):
        if item == 4 and self.request.retries == 0:
            self.retry(countdown=countdown)
        note(f"{tag}:{item}")
        yield item
    return "done"


@app.task(name="verbs.tell_error")
def tell_error(request: Any, exc: Any, traceback: Any, tag: str) -> None:
    """An errback: notes the error."""
    note(f"{tag}={type(exc).__name__}")


@app.task(name="verbs.large")
def large() -> str:
    """A result that comes through the pool's pipe in pieces."""
    return "x" * 300_000


@app.task(name="verbs.plain")
def plain() -> str:
    """A task that is not iterable."""
    return "plain"

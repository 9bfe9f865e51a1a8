"""Iterable tasks that fail at an item, in every way a task can."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterator
from typing import Any

from celery.exceptions import Ignore, Reject

from celery_graceful import IterableTask
from tests.acceptance.apps.making import app_ledger, make_app, note, noted

app = make_app("retrying")


def attempt(tag: str, item: int) -> int:
    """Note that an item was tried; returns how often it was, this time included."""
    note(f"{tag}?{item}")
    tried: Counter[Any] = app_ledger().counts()
    return tried[f"{tag}?{item}"]


def done(tag: str, item: int) -> None:
    """Note that an item was done."""
    note(f"{tag}:{item}")


@app.task(
    base=IterableTask,
    bind=True,
    name="retrying.auto",
    autoretry_for=(OSError,),
    retry_backoff=True,
    retry_backoff_max=1,
    retry_jitter=False,
    max_retries=2,
)
def auto(
    self: Any, n: int, *, tag: str, at: list[int], times: int, cursor: int = 0
) -> Generator[int, None, Any]:
    """Fails ``times`` times at each of the items ``at``; Celery retries it."""
    for item in range(cursor + 1, n + 1):
        if attempt(tag, item) <= times and item in at:
            raise OSError(f"item {item} of {tag}")
        done(tag, item)
        yield item
    return n


class Auto(IterableTask):
    """The same as a class."""

    name = "retrying.auto_class"
    autoretry_for = (OSError,)
    retry_backoff = True
    retry_backoff_max = 1
    retry_jitter = False
    max_retries = 2

    def build_enumerator(
        self, n: int, *, tag: str, at: list[int], times: int, cursor: int | None
    ) -> Iterator[tuple[int, int]]:
        return ((item, item) for item in range((cursor or 0) + 1, n + 1))

    def each_iteration(self, item: int, n: int, *, tag: str, at: list[int], times: int) -> None:
        if attempt(tag, item) <= times and item in at:
            raise OSError(f"item {item} of {tag}")
        done(tag, item)
        self.carry["sum"] = self.carry.get("sum", 0) + item

    def result(self, *args: Any, **kwargs: Any) -> Any:
        return self.carry["sum"]


app.register_task(Auto())


@app.task(base=IterableTask, bind=True, name="retrying.asks", max_retries=2)
def asks(
    self: Any, n: int, *, tag: str, at: int, times: int = 1, countdown: float = 0.2, cursor: int = 0
) -> Generator[int, None, Any]:
    """Calls ``self.retry`` inside the generator."""
    for item in range(cursor + 1, n + 1):
        if attempt(tag, item) <= times and item == at:
            self.retry(countdown=countdown, exc=KeyError(f"item {item}"))
        done(tag, item)
        yield item
    return n


class Asks(IterableTask):
    """Calls ``self.retry`` inside ``each_iteration``."""

    name = "retrying.asks_class"
    max_retries = 2

    def build_enumerator(
        self, n: int, *, tag: str, at: int, cursor: int | None, **_: Any
    ) -> Iterator[tuple[int, int]]:
        return ((item, item) for item in range((cursor or 0) + 1, n + 1))

    def each_iteration(
        self, item: int, n: int, *, tag: str, at: int, times: int = 1, countdown: float = 0.2
    ) -> None:
        if attempt(tag, item) <= times and item == at:
            raise self.retry(countdown=countdown, exc=KeyError(f"item {item}"))
        done(tag, item)

    def result(self, n: int, **_: Any) -> int:
        return n


app.register_task(Asks())


@app.task(base=IterableTask, bind=True, name="retrying.when_told", default_retry_delay=0)
def when_told(self: Any, *, tag: str, on: str, cursor: int = 0) -> Generator[int, None, Any]:
    """Items until ``on`` is noted, then one retry, then a few items more."""
    item = cursor
    while not noted(on):
        item += 1
        time.sleep(0.005)
        done(tag, item)
        yield item
    if not noted("retried"):
        note("retried")
        self.retry(countdown=0)
    for _ in range(10):
        item += 1
        done(tag, item)
        yield item
    return "done"


@app.task(base=IterableTask, bind=True, name="retrying.raises")
def raises(self: Any, how: str, *, tag: str, cursor: int = 0) -> Generator[int, None, Any]:
    """Five items, then Ignore, Reject or replace."""
    for item in range(cursor + 1, 6):
        done(tag, item)
        yield item
    if how == "ignore":
        self.update_state(state="CUSTOM", meta={})
        raise Ignore("no more")
    if how == "reject":
        raise Reject("no more", requeue=False)
    if how == "requeue" and attempt(tag, 6) == 1:
        raise Reject("again", requeue=True)
    if how == "replace":
        self.replace(auto.s(1, tag="other", at=[], times=0))
    done(tag, 6)
    return "done"


def _fail_when_told(task: Any, how: str, tag: str, cursor: int) -> Generator[int, None, Any]:
    item = cursor
    while not noted("fail"):
        item += 1
        time.sleep(0.005)
        done(tag, item)
        yield item
    if how == "retry":
        task.retry(countdown=60)
    raise OSError("too late")


@app.task(base=IterableTask, bind=True, name="retrying.late")
def late(self: Any, how: str, *, tag: str, cursor: int = 0) -> Generator[int, None, Any]:
    """Fails, or asks for a retry, when it is asked to."""
    yield from _fail_when_told(self, how, tag, cursor)


@app.task(
    base=IterableTask,
    bind=True,
    name="retrying.late_auto",
    autoretry_for=(OSError,),
    default_retry_delay=60,
)
def late_auto(self: Any, how: str, *, tag: str, cursor: int = 0) -> Generator[int, None, Any]:
    """The same with ``autoretry_for``."""
    yield from _fail_when_told(self, how, tag, cursor)


@app.task(name="retrying.tell")
def tell(value: Any, tag: str) -> None:
    """A callback: notes what it was given."""
    note(f"{tag}={value}")


@app.task(name="retrying.tell_error")
def tell_error(request: Any, exc: Any, traceback: Any, tag: str) -> None:
    """An errback: notes the error."""
    note(f"{tag}={exc!r}")

"""Tasks that outlast a grace period, each in its own way."""

from __future__ import annotations

import time
from collections.abc import Iterator

from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import task_postrun

from celery_graceful import iterable_task, signals
from tests.acceptance.apps.making import make_app, note, noted

app = make_app("cut")


@signals.task_lost.connect
def tell_lost(task, *, task_id, arguments, **details):  # type: ignore[no-untyped-def]
    note(f"signal lost {task.name}[{task_id}] {arguments}")


@signals.task_handed_back.connect
def tell_handed_back(task, *, task_id, **details):  # type: ignore[no-untyped-def]
    note(f"signal handed back {task.name}[{task_id}]")


@task_postrun.connect
def linger(task=None, args=(), **details):  # type: ignore[no-untyped-def]
    """What comes after this task takes longer than the worker has."""
    if task.name == "cut.early" and args == ["lingers"]:
        note("lingers postrun")
        time.sleep(30)


def work(tag: str) -> None:
    """Until the test says that it is enough."""
    note(f"{tag} begins")
    try:
        while not noted(f"{tag} enough"):
            time.sleep(0.02)
    finally:
        note(f"{tag} finally")
    note(f"{tag} ends")


@app.task(name="cut.early")
def early(tag: str) -> str:
    """Acknowledged when it begins."""
    work(tag)
    return tag


@app.task(name="cut.late", acks_late=True)
def late(tag: str) -> str:
    """Acknowledged when it has ended."""
    work(tag)
    return tag


@app.task(name="cut.limited", soft_time_limit=1, time_limit=4)
def limited(tag: str) -> str:
    """Lives through its soft time limit, not through its hard one."""
    note(f"{tag} begins")
    try:
        work(tag)
    except SoftTimeLimitExceeded:
        note(f"{tag} soft limit")
    work(tag)
    return tag


@app.task(name="cut.stubborn", acks_late=True)
def stubborn(tag: str) -> str:
    """Swallows whatever is raised in it."""
    note(f"{tag} begins")
    while not noted(f"{tag} enough"):
        try:
            time.sleep(0.02)
        except BaseException:
            note(f"{tag} swallowed")
    return tag


@app.task(name="cut.prompt", acks_late=True)
def prompt(tag: str) -> str:
    """Ends in order when it is asked to."""
    try:
        work(tag)
    except SystemExit:
        return f"{tag} told"
    return tag


@app.task(name="cut.tell")
def tell(*args: object) -> None:
    """A callback."""
    note("errback")


@iterable_task(name="cut.long_item")  # type: ignore[untyped-decorator]
def long_item(tag: str, *, cursor: int | None = None) -> Iterator[int]:
    """Its second item takes as long as the test wants."""
    for number in range((cursor or 0) + 1, 4):
        note(f"{tag} item {number}")
        while number == 2 and not noted(f"{tag} enough"):
            time.sleep(0.02)
        yield number

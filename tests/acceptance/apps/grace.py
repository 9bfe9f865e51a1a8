"""Tasks that a deploy cuts off. On the second worker (``SIDE``) they take no time."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from celery_graceful import IterableTask, stopping
from tests.acceptance.apps.making import make_app, note

app = make_app("grace")

SIDE = os.environ.get("SIDE", "first")


def lasts(seconds: float) -> float:
    """How long a task takes on this side."""
    return seconds if SIDE == "first" else 0.0


@contextmanager
def noted(kind: str) -> Iterator[None]:
    """Note that a task begins here, whether it ends, and that its ``finally`` ran."""
    note(f"{kind} begins {SIDE}")
    try:
        yield
        note(f"{kind} ends {SIDE}")
    finally:
        note(f"{kind} leaves {SIDE}")


@app.task(name="grace.run", base=IterableTask)
def run(items: int, pause: float, *, cursor: int = -1) -> Generator[int, None, str]:
    """Items that are noted."""
    note(f"run begins {SIDE}")
    for item in range(cursor + 1, items):
        time.sleep(lasts(pause))
        note(item)
        yield item
    return SIDE


@app.task(name="grace.sleeps", acks_late=True)
def sleeps(seconds: float) -> str:
    """Late-acked, asleep."""
    with noted("sleeps"):
        time.sleep(lasts(seconds))
    return SIDE


@app.task(name="grace.computes", acks_late=True)
def computes(seconds: float) -> str:
    """Late-acked, on the processor, which it leaves to others who want it."""
    with noted("computes"):
        os.nice(5)
        until = time.monotonic() + lasts(seconds)
        while time.monotonic() < until:
            pass
    return SIDE


@app.task(name="grace.early")
def early(seconds: float) -> str:
    """Its message is gone when it begins."""
    with noted("early"):
        time.sleep(lasts(seconds))
    return SIDE


@app.task(name="grace.ends", acks_late=True)
def ends(kind: str, seconds: float) -> str:
    """Late-acked; ends so long after a stop was asked for."""
    with noted(kind):
        while not stopping() and SIDE == "first":
            time.sleep(0.005)
        time.sleep(lasts(seconds))
    return SIDE

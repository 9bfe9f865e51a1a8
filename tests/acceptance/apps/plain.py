"""Plain tasks that look at the stop flag, and one that continues itself."""

from __future__ import annotations

import os
import time
from typing import Any

from celery_graceful import GracefulTask, sleep, stopping, time_left
from tests.acceptance.apps.making import make_app
from tests.harness.ledger import Ledger

app = make_app("plain")


@app.task(name="plain.quick")
def quick() -> dict[str, Any]:
    """Who runs this, and does it see a stop?"""
    return {"pid": os.getpid(), "stopping": stopping()}


@app.task(name="plain.watch")
def watch(path: str, seconds: float) -> str | None:
    """Note that it began, and the moment it saw the flag."""
    Ledger(path).add("begin")
    until = time.monotonic() + seconds
    while not stopping() and time.monotonic() < until:
        time.sleep(0.002)
    reason = stopping()
    Ledger(path).add(f"seen {reason}")
    return reason


@app.task(name="plain.left")
def left(path: str) -> tuple[float | None, float | None]:
    """How much time it has before a stop, and once there is one."""
    before = time_left()
    Ledger(path).add("begin")
    while not stopping():
        time.sleep(0.002)
    return before, time_left()


@app.task(name="plain.nap")
def nap(path: str, seconds: float) -> str | None:
    """The same, asleep."""
    Ledger(path).add("begin")
    reason = sleep(seconds)
    Ledger(path).add(f"seen {reason}")
    return reason


@app.task(name="plain.climb", base=GracefulTask, bind=True)
def climb(self: Any, path: str, step: int, top: int, by_itself_at: int) -> Any:
    """Steps from ``step`` to ``top``; goes on elsewhere on a stop, and once without one.

    Steps take time until there is a file ``path`` + ``.hurry``.
    """
    while step < top:
        if not os.path.exists(f"{path}.hurry"):
            time.sleep(0.005)
        Ledger(path).add(step)
        step += 1
        if stopping() or step == by_itself_at:
            return self.continue_as(path, step, top, by_itself_at)
    return {"id": self.request.id, "top": step}


@app.task(name="plain.tell")
def tell(value: Any, path: str) -> None:
    """A callback: notes what it was given."""
    Ledger(path).add(f"told {value['top']}")

"""Tasks that hear of a stop while they run, and are cut off by an exception."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from celery_graceful import CutOff, GracefulTask, IterableTask, stopping
from tests.acceptance.apps.making import make_app
from tests.harness.ledger import Ledger

app = make_app("attending")


class Told(GracefulTask):
    """Notes what its hook is told, and where."""

    abstract = True

    def on_stop_requested(self, reason: Any, time_left: float | None) -> None:
        path, tag = (self.request.args or ())[:2]
        left = "none" if time_left is None else f"{time_left:.1f}"
        Ledger(path).add(f"{tag} told {reason} {left} {self.request.id}")
        if tag == "bad":
            raise ValueError("a bad hook")
        if tag == "slow":
            time.sleep(60)


@app.task(name="attending.watch", base=Told)
def watch(path: str, tag: str, seconds: float) -> str:
    """Runs until it sees the stop, and a little longer; or fails."""
    Ledger(path).add(f"{tag} begin")
    until = time.monotonic() + seconds
    while not stopping() and time.monotonic() < until:
        time.sleep(0.01)
    if stopping():
        _wait_until_told(path, tag)
    if seconds and tag == "fails":
        time.sleep(0.4)
        raise RuntimeError("fails")
    time.sleep(0.4 if seconds else 0)
    return tag


def _wait_until_told(path: str, tag: str) -> None:
    """The hook runs beside the task, and may be late where the machine is busy."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if any(str(item).startswith(f"{tag} told") for item in Ledger(path).items()):
            return
        time.sleep(0.01)


def _busy(path: str, tag: str) -> str:
    Ledger(path).add(f"{tag} begin")
    try:
        while True:
            sum(range(100))
            time.sleep(0.01)
    finally:
        Ledger(path).add(f"{tag} finally")


@app.task(name="attending.late", base=GracefulTask, raise_at_cut=True, acks_late=True)
def late(path: str, tag: str) -> str:
    """Runs for ever the first time, and is done when it comes back."""
    if f"{tag} begin" in Ledger(path).items():
        return "again"
    return _busy(path, tag)


@app.task(name="attending.early", base=GracefulTask, raise_at_cut=True)
def early(path: str, tag: str) -> str:
    """Runs for ever, and is lost."""
    return _busy(path, tag)


@app.task(name="attending.catching", base=GracefulTask, raise_at_cut=True)
def catching(path: str, tag: str) -> str:
    """Makes the best of it."""
    try:
        return _busy(path, tag)
    except CutOff:
        return "half"


@app.task(name="attending.going_on", base=GracefulTask, raise_at_cut=True, bind=True)
def going_on(self: Any, path: str, tag: str) -> Any:
    """Continues by hand."""
    if tag == "second":
        return "went on"
    try:
        return _busy(path, tag)
    except CutOff:
        return self.continue_as(path, "second")


@app.task(name="attending.items", base=IterableTask, raise_at_cut=True)
def items(path: str, tag: str, *, cursor: int = 0) -> Iterator[int]:
    """Its third item never ends the first time."""
    for item in range(cursor + 1, 6):
        if item == 3 and f"{tag} begin" not in Ledger(path).items():
            _busy(path, tag)
        Ledger(path).add(f"{tag} item {item}")
        yield item


@app.task(name="attending.limited", base=IterableTask, max_execution_time=0, time_limit=7)
def limited(path: str, tag: str, *, cursor: int = 0) -> Iterator[int]:
    """Lasts longer than its time limit, item by item."""
    for item in range(cursor + 1, 5):
        time.sleep(2)
        Ledger(path).add(f"{tag} item {item}")
        yield item

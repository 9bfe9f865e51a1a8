"""Short, long and iterable tasks that note when they begin, for maintenance."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from typing import Any

from celery.worker.control import control_command

from celery_graceful import IterableTask, signals, stopping
from tests.acceptance.apps.making import app_ledger, make_app, note, noted

app = make_app("upkeep")
logger = logging.getLogger("celery.worker.upkeep")


@signals.maintenance_entered.connect
def entered(sender: Any, *, scopes: list[str], reason: str, **_: Any) -> None:
    """Says what a receiver is told."""
    logger.warning("SIGNAL entered %s %s %s", sender.main, ", ".join(scopes), reason)


@signals.maintenance_left.connect
def left(sender: Any, *, worker: str, **_: Any) -> None:
    """The same."""
    logger.warning("SIGNAL left %s %s", sender.main, worker)


@control_command()
def close_quietly(state: Any) -> dict[str, str]:
    """Close the connection, as if somebody had read the broker's farewell and dropped it."""
    state.consumer.connection.connection.collect()
    return {"ok": "closed"}


@app.task(name="upkeep.short")
def short(number: Any, seconds: float = 0.0) -> Any:
    """Notes its number, takes its time."""
    note(f"short:{number}")
    time.sleep(seconds)
    return number


@app.task(name="upkeep.other")
def other(number: Any) -> Any:
    """The same by another name."""
    note(f"other:{number}")
    return number


@app.task(name="upkeep.long")
def long(tag: str, seconds: float) -> str:
    """Takes long, unless somebody notes ``hurry:`` and its tag."""
    note(f"long:{tag}")
    until = time.monotonic() + seconds
    while time.monotonic() < until and not noted(f"hurry:{tag}"):
        time.sleep(0.01)
    note(f"end:{tag}")
    return tag


@app.task(name="upkeep.tidy")
def tidy(tag: str) -> None:
    """Once it is terminated, tidies up until somebody notes ``hurry:`` and its tag."""
    note(f"tidy:{tag}")
    try:
        time.sleep(60)
    finally:
        note(f"tidying:{tag}")
        until = time.monotonic() + 30
        while time.monotonic() < until and not noted(f"hurry:{tag}"):
            time.sleep(0.01)
        note(f"tidied:{tag}")


@app.task(name="upkeep.watching")
def watching(tag: str) -> str:
    """Ends when it is asked to leave; returns why."""
    note(f"watching:{tag}")
    until = time.monotonic() + 30
    while not (reason := stopping()) and time.monotonic() < until:
        time.sleep(0.005)
    note(f"{tag}:{reason}")
    return str(reason)


@app.task(name="upkeep.walk", base=IterableTask)
def walk(tag: str, items: int, pause: float, *, cursor: int = -1) -> Generator[int, None, int]:
    """Notes each item."""
    for item in range(cursor + 1, items):
        app_ledger().add(f"{tag}:{item}")
        time.sleep(pause)
        yield item
    return items

"""Tasks that are held for a while: every delivery is noted, and what is begun and ended."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from celery import signals

from celery_graceful import IterableTask
from tests.acceptance.apps.making import make_app, note, noted

app = make_app("held")


@signals.task_received.connect
def _received(request: Any, **_: Any) -> None:
    note(f"received {request.id}")


@app.task(name="held.plain", bind=True, acks_late=True, reject_on_worker_lost=True)
def plain(self: Any, seconds: float) -> str:
    """Takes ``seconds``, or less when ``hurry`` is noted."""
    note(f"begun {self.request.id}")
    until = time.monotonic() + seconds
    while time.monotonic() < until and not noted("hurry"):
        time.sleep(0.1)
    return str(self.request.id)


@app.task(name="held.run", bind=True, base=IterableTask, checkpoint_interval=0.2)
def run(self: Any, items: int, pause: float, *, cursor: int = 0) -> Generator[int, None, int]:
    """``items`` items, each of which takes ``pause`` seconds until ``hurry`` is noted."""
    note(f"begun {self.request.id}")
    for item in range(cursor + 1, items + 1):
        if not noted("hurry"):
            time.sleep(pause)
        note(f"{self.request.id}:{item}")
        yield item
    return items

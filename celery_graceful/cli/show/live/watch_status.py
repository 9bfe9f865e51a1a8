"""``graceful status --watch``: what each look reads."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from celery_graceful.cli.context import OpenApp
from celery_graceful.cli.exit_codes import INTERRUPTED
from celery_graceful.cli.show.live.loop import watch
from celery_graceful.cli.show.live.status_frame import StatusSeen, status_frame
from celery_graceful.maintenance.api import Status
from celery_graceful.maintenance.barrier_wait import look
from celery_graceful.maintenance.broker_replies import NOBODY, ask_workers
from celery_graceful.maintenance.mode_changes import read
from celery_graceful.maintenance.workers import known_workers

if TYPE_CHECKING:
    from celery_graceful.cli.show.live.spans import Line

#: Seconds between two questions to all workers over the broker. Their reports in the store are
#: never older than a few seconds; only workers without one have to be asked.
ASK_EVERY = 15.0


def watch_status(ctx: click.Context, at: OpenApp, interval: float) -> None:
    """Draw the maintenance mode and the workers again and again; ends with an exit code.

    Args:
        interval: seconds between two looks.
    """
    try:
        watch(_Look(at), _frame, interval)
    except KeyboardInterrupt:
        ctx.exit(INTERRUPTED)


def _frame(seen: StatusSeen, trouble: str, width: int | None, height: int | None) -> list[Line]:
    return status_frame(replace(seen, trouble=trouble), width, height)


class _Look:
    """Reads the mode, the workers' reports, and now and then their answers over the broker."""

    def __init__(self, at: OpenApp) -> None:
        self._runtime = at.runtime
        self._replies = NOBODY
        self._ask_at = float("-inf")

    def __call__(self) -> StatusSeen:
        runtime, now = self._runtime, time.monotonic()
        if now >= self._ask_at:
            self._replies = ask_workers(runtime, known_workers(runtime.store))
            self._ask_at = time.monotonic() + ASK_EVERY
        reading = read(runtime)
        status = Status(reading.mode, reading.now, look(runtime, reading.mode, self._replies))
        title = f"App {runtime.namespace}, broker {runtime.broker_shown}"
        return StatusSeen(title, status, at=time.strftime("%H:%M:%S"))

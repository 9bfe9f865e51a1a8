"""Telling people and programs that a worker goes into maintenance, is in it, comes out of it."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timezone
from typing import Any

from celery_graceful import signals
from celery_graceful._celery.worker_parts import events_of
from celery_graceful.durations import format_seconds
from celery_graceful.model.maintenance.mode import Hold
from celery_graceful.text.counting import counted
from celery_graceful.text.printable import printable
from celery_graceful.worker.maintenance.watch import KnownMode

logger = logging.getLogger("celery_graceful.maintenance")

#: Seconds between two reminders in the log.
REMIND = 300.0


class Announcer:
    """What one worker says of its maintenance: log, signals, Celery's monitoring events.

    Args:
        worker: Celery's worker.
    """

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._told: tuple[Hold, ...] = ()
        self._cut_off = False
        self._since = self._remind_at = 0.0

    def tell(self, known: KnownMode, begun: int) -> None:
        """What is in force now; in the thread that consumes, after it is carried out.

        Args:
            begun: how many tasks run here that were begun before.
        """
        self._tell_cut_off(known)
        holds = known.mode.holds
        if holds == self._told:
            return
        before, self._told = self._told, holds
        if not holds:
            logger.warning(
                "Maintenance is over after %s: this worker starts tasks again",
                format_seconds(round(time.monotonic() - self._since)),
            )
            self._send("left", before)
            return
        if not before:
            self._since = time.monotonic()
        self._remind_at = time.monotonic() + REMIND
        logger.warning(
            "Maintenance%s: this worker holds %s%s",
            " (changed)" if before else "",
            describe(holds),
            f"; {counted(begun, 'earlier task is', 'earlier tasks are')} running" if begun else "",
        )
        self._send("entered", holds)

    def remind(self) -> None:
        """Say it again every few minutes, lest the worker be taken for stuck. Any thread."""
        now = time.monotonic()
        if self._told and now >= self._remind_at:
            self._remind_at = now + REMIND
            logger.warning(
                "Still in maintenance, for %s now: this worker holds %s",
                format_seconds(round(now - self._since)),
                describe(self._told),
            )

    def _tell_cut_off(self, known: KnownMode) -> None:
        if known.cut_off and not self._cut_off:
            logger.error(
                "The store has not answered for a whole lease, and others may count this worker as"
                " gone: it consumes nothing until the store answers (exempt queues go on)"
            )
        elif self._cut_off and not known.cut_off:
            logger.warning("The store answers again: this worker goes on as the mode says")
        self._cut_off = known.cut_off

    def _send(self, what: str, holds: tuple[Hold, ...]) -> None:
        details = {
            "worker": self._worker.hostname,
            "scopes": [str(hold.scope) for hold in holds],
            "reason": printable("; ".join(dict.fromkeys(h.reason for h in holds if h.reason))),
            "who": printable(", ".join(dict.fromkeys(hold.who for hold in holds))),
        }
        entered = what == "entered"
        signal = signals.maintenance_entered if entered else signals.maintenance_left
        signals.emit(signal, self._worker.app, **details)
        events = events_of(self._worker)
        if events is not None:
            details.pop("worker")
            events.send(f"graceful-maintenance-{what}", **details)


def describe(holds: tuple[Hold, ...]) -> str:
    """The holds in one line, for people."""
    return "; ".join(_one(hold) for hold in holds)


def _one(hold: Hold) -> str:
    parts = [f"by {hold.who}"]
    if hold.reason:
        parts.append(hold.reason)
    if hold.until is not None:
        until = datetime.fromtimestamp(hold.until, timezone.utc)
        parts.append(f"until {until:%Y-%m-%d %H:%M:%S} UTC")
    return f"{hold.scope} ({', '.join(parts)})"

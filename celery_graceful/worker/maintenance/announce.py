"""What a worker says about its maintenance: log, signals, Celery's monitoring events."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery_graceful import signals
from celery_graceful._celery.worker_parts import events_of
from celery_graceful.durations import format_seconds
from celery_graceful.model.maintenance.mode import Mode
from celery_graceful.text.counting import counted
from celery_graceful.text.printable import printable
from celery_graceful.worker.maintenance.known_mode import KnownMode

logger = logging.getLogger("celery_graceful.maintenance")

#: Seconds between two reminders in the log.
REMIND = 300.0


class Announcer:
    """Announces when a worker enters maintenance, and when it leaves it.

    Args:
        worker: Celery's worker.
    """

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._announced = Mode()
        self._cut_off = False
        self._since = self._remind_at = 0.0

    def announce(self, known: KnownMode, begun: int) -> None:
        """What is in force now; in the thread that consumes, after it is carried out.

        Args:
            begun: how many tasks run here that started before.
        """
        self._announce_cut_off(known)
        mode, before = known.mode, self._announced
        if mode.holds == before.holds:
            return
        self._announced = mode
        now = time.monotonic()
        if not mode.down:
            logger.warning(
                "Maintenance is over after %s: this worker starts tasks again",
                format_seconds(round(now - self._since)),
            )
            self._send("left", before)
            return
        self._since = self._since if before.down else now
        self._remind_at = now + REMIND
        logger.warning(
            "Maintenance%s: this worker holds %s%s",
            " (changed)" if before.down else "",
            mode,
            f"; {counted(begun, 'earlier task is', 'earlier tasks are')} running" if begun else "",
        )
        self._send("entered", mode)

    def remind(self) -> None:
        """Every few minutes, so that the worker is not taken for stuck. Any thread."""
        now = time.monotonic()
        if self._announced.down and now >= self._remind_at:
            self._remind_at = now + REMIND
            logger.warning(
                "Still in maintenance, for %s now: this worker holds %s",
                format_seconds(round(now - self._since)),
                self._announced,
            )

    def _announce_cut_off(self, known: KnownMode) -> None:
        if known.cut_off and not self._cut_off:
            logger.error(
                "The store has not answered for a whole lease, and others may count this worker as"
                " gone: it consumes only exempt queues until the store answers"
            )
        elif self._cut_off and not known.cut_off:
            logger.warning("The store answers again: this worker follows the mode again")
        self._cut_off = known.cut_off

    def _send(self, what: str, mode: Mode) -> None:
        reasons = dict.fromkeys(hold.reason for hold in mode.holds if hold.reason)
        details = {
            "worker": self._worker.hostname,
            "scopes": [str(hold.scope) for hold in mode.holds],
            "reason": printable("; ".join(reasons)),
            "who": printable(", ".join(dict.fromkeys(hold.who for hold in mode.holds))),
        }
        entered = what == "entered"
        signal = signals.maintenance_entered if entered else signals.maintenance_left
        signals.emit(signal, self._worker.app, **details)
        events = events_of(self._worker)
        if events is not None:
            details.pop("worker")
            events.send(f"graceful-maintenance-{what}", **details)

"""The row of a run in the task's own database.

It is always ahead of the store: it says where the run continues, and whether it is done.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from celery_graceful._celery.task.delivery import ExecutionLeft
from celery_graceful.atomic import Busy, Claim, Database, Row, Work
from celery_graceful.errors import StoreUnavailable
from celery_graceful.execution.execution import Execution
from celery_graceful.execution.journal.store_outage import STORE_RETRY
from celery_graceful.execution.loop import Interrupted
from celery_graceful.execution.stopping.conditions import StopConditions
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.runs.ticket import Ticket

logger = logging.getLogger("celery_graceful.runs")

#: Seconds between two attempts to claim a row that another transaction holds.
BUSY_RETRY = 0.05


class RunRow:
    """The row of one execution's run, for :class:`~.atomic_work.AtomicWork`.

    Args:
        execution: the execution, where the store has it begin.
        ticket: its right to the run.
        stops: what may end the wait for the row.
        batch_time: what a batch may take, in seconds, if that is known.
    """

    def __init__(
        self,
        execution: Execution,
        ticket: Ticket,
        stops: StopConditions,
        batch_time: Callable[[], float | None],
    ) -> None:
        self._ticket = ticket
        self._stops = stops
        self.batch_time = batch_time
        record, runtime = ticket.record, ticket.runtime
        self._claim = Claim(
            runtime.namespace,
            ticket.run.task,
            ticket.run.id,
            record.fence,
            repr(record.started_at),
            os.urandom(16).hex(),
            # A run without a finished item begins anew, with ``on_start``.
            record.checkpoint if execution.steps else None,
            execution.steps,
            runtime.settings.run_retention,
            record.after,
        )

    def claimed(self, work: Work) -> Row:
        """Wait for the row: whoever holds it may be stalled, but will not be for ever."""
        is_told, patient_until = False, time.monotonic() + self._ticket.runtime.settings.lease_ttl
        while True:
            pause = BUSY_RETRY
            try:
                row = work.claim(self._claim, self._ticket.stands)
                if row is None:
                    raise Interrupted(StopReason.LEASE_LOST)
                return row
            except Busy as exc:
                why = f"another transaction holds its row in graceful_checkpoints: {exc}"
            except StoreUnavailable as exc:
                if time.monotonic() > patient_until:
                    raise ExecutionLeft(str(exc), self._ticket.fence) from exc
                why, pause = f"the store does not answer: {exc}", STORE_RETRY
            if not is_told:
                is_told = True
                logger.warning("%s waits before its first item: %s", self._ticket.run, why)
            self._stops.check(time.monotonic())
            time.sleep(pause)

    def refused(self) -> None:
        """A commit was refused: the row is another execution's."""
        self._ticket.refused = (
            "another execution has claimed it, so its transaction was rolled back"
        )

    def forget(self, database: Database) -> None:
        """The run has ended: remove the row."""
        try:
            database.forget(self._claim)
        except Exception as exc:
            logger.warning(
                "%s has ended, but its row stays in graceful_checkpoints; it does no harm: %r",
                self._ticket.run,
                exc,
            )

    def is_stopping(self) -> bool:
        """Whether the worker stops, so that nothing should stay uncommitted."""
        return self._stops.flag.raised

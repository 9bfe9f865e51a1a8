"""A store that takes no checkpoint: how long items continue, and when the run leaves its slot."""

from __future__ import annotations

import logging
import math
import time

from celery_graceful.errors import StoreError
from celery_graceful.execution.execution import Execution
from celery_graceful.execution.loop import Interrupted
from celery_graceful.execution.stopping.conditions import StopConditions
from celery_graceful.model.run.cursor import encode
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.runs.ticket import Ticket

logger = logging.getLogger("celery_graceful.runs")

#: Seconds between two attempts to save a checkpoint while the store is away.
STORE_RETRY = 0.5
#: Seconds between two attempts to leave the slot to others while broker and store are away.
LEAVE_AGAIN = 5.0
#: Without ``graceful_store_patience``: checkpoint intervals in which items continue without the
#: store.
INTERVALS = 2


class StoreOutage:
    """One execution's dealing with a store that is away.

    Args:
        stops: what may end the wait for the store.
        interval: seconds between two checkpoints.
    """

    def __init__(
        self, execution: Execution, ticket: Ticket, stops: StopConditions, interval: float
    ) -> None:
        settings = ticket.runtime.settings
        self._execution = execution
        self._ticket = ticket
        self._stops = stops
        #: Whether the run may leave its slot to others meanwhile.
        self.may_leave = settings.without_store == "run"
        #: How long items continue while no checkpoint can be saved, in seconds.
        self._patience: float = INTERVALS * interval
        if settings.store_patience is not None:
            self._patience = settings.store_patience
        #: When the lease ends, in monotonic seconds, unless a checkpoint is saved before.
        self.lease_until = time.monotonic() + settings.lease_ttl
        self._since: float | None = None
        #: When the execution leaves its slot to others.
        self._leave_at = math.inf
        #: When the broker may be asked again whether it takes the run's message.
        self._ask_broker_at = 0.0

    def failed(self, now: float, exc: StoreError) -> float:
        """The store took no checkpoint; returns until when items continue all the same."""
        since = now if self._since is None else self._since
        until = min(since + self._patience, self.lease_until)
        if self._since is None:
            self._since = now
            if self.may_leave:
                self._leave_at = until + STORE_RETRY  # once more after patience is over
            logger.warning(
                "%s: the checkpoint at cursor %.200r could not be saved; items continue for %.1f s"
                " (graceful_store_patience), then the run waits for the store: %s",
                self._ticket.run,
                self._execution.cursor,
                max(0.0, until - now),
                exc,
            )
        return until

    def saved(self, now: float) -> None:
        """The store has taken a checkpoint at ``now``."""
        if self._since is not None:
            away = now - self._since
            logger.warning("%s: the store is back after %.1f s", self._ticket.run, away)
            self._since, self._leave_at = None, math.inf
        self.lease_until = now + self._ticket.runtime.settings.lease_ttl

    def wait(self) -> None:
        """Return when the store is to be tried again.

        Raises:
            Interrupted: the execution has to leave, or leaves its slot to others.
        """
        time.sleep(STORE_RETRY)
        now = time.monotonic()
        self._stops.check(now)
        # The broker is asked first: while it is away as well, the generator stays as it is.
        if now >= self._leave_at and self._can_leave():
            raise Interrupted(StopReason.STORE_UNAVAILABLE)

    def ends_the_wait(self, waited: float) -> bool:
        """Whether an execution that has to leave, and has waited for the store, does so without."""
        return (self._since is not None or waited >= self._patience) and self._can_leave()

    def _can_leave(self) -> bool:
        """Whether a message can continue the run, and the broker would take it now."""
        if not self.may_leave or time.monotonic() < self._ask_broker_at:
            return False
        can = self._ticket.may_leave(encode(self._execution.checkpoint))
        self._ask_broker_at = time.monotonic() + LEAVE_AGAIN
        return can

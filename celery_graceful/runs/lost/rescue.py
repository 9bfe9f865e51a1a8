"""Resuming runs whose owner is gone, or whose message no worker has admitted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kombu.exceptions import OperationalError

from celery_graceful._celery.message.bodies import check_accepted
from celery_graceful._celery.message.envelope import unpack
from celery_graceful._celery.message.publish import Sender
from celery_graceful.errors import CorruptRecord, PublishUncertain, StoreError, StoreUnavailable
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Outcome, Record, RunKey
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.runs.operating.result_states import store_revoked
from celery_graceful.runs.successors import publish_record
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime
from celery_graceful.stop.hold import queue_of_delivery
from celery_graceful.stores.base import Store
from celery_graceful.text.counting import counted

logger = logging.getLogger("celery_graceful.rescue")

#: Overdue runs read at a time.
BATCH = 100
MOST_PASSED_OVER = 5000
#: Seconds between two looks while maintenance holds all that is overdue; a part of a lease at most.
HELD_PAUSE, LOOKS_PER_LEASE = 3.0, 3
#: Leases after which nobody waits any more for parked messages to go back.
UNSETTLED = 3

Entry = tuple[RunKey, Record]


def _never(task: str, queue: str) -> bool:
    return False


def _always() -> bool:
    return True


@dataclass
class Rescuer:
    """One worker's search for overdue runs: one store call, whatever the number of runs."""

    runtime: Runtime
    store: Store
    #: Whether the maintenance mode holds a task of a queue: such runs wait for its end.
    held: Callable[[str, str], bool] = _never
    #: Whether no parked messages are on their way back, which may know more than the store.
    settled: Callable[[], bool] = _always
    #: The worker that rescues.
    worker: str = ""
    #: Measures how long the store takes to answer.
    clock: Callable[[], float] = time.monotonic
    _held_at: dict[RunKey, float] = field(default_factory=dict)
    _not_before: float = float("-inf")
    _seen: dict[RunKey, int] = field(default_factory=dict)
    _healthy_since: float | None = None
    #: Runs that this worker cannot publish, by the version that was read.
    _foreign: dict[RunKey, int] = field(default_factory=dict)
    #: Runs that cannot be rescued, by the version that was logged.
    _faulty: dict[RunKey, int] = field(default_factory=dict)
    #: How many runs a store that answers has refused to write in this round.
    _refused: int = 0
    _broker_away: bool = False

    def store_was_away(self) -> None:
        """Runners may have been cut off as well: give their leases time to be renewed."""
        self._healthy_since = None
        self._seen.clear()

    def look(self, now: float) -> None:
        """Rescue what is overdue, and what had a runner only if it stood still for long enough.

        A runner may have been cut off from the store, with this worker or before it was started.
        So its lease has to be over, its record unchanged since the last look, and the store
        within reach for a whole lease. One that left while the store was away has its checkpoint in
        a message, which may be parked: such messages go back to their queues first.

        Args:
            now: monotonic seconds.
        """
        if now < self._not_before:
            return
        asked = self.clock()
        # Those of other brokers, and those that maintenance holds, must not hide the others.
        passed_over = len(self._foreign) + len(self._held_at)
        overdue = self.store.due(BATCH + min(passed_over, MOST_PASSED_OVER))
        took = self.clock() - asked
        if took > self.runtime.settings.lease_ttl / LOOKS_PER_LEASE:
            self.store_was_away()  # for runners as well, though this call waited for its answer
        if any(record.owner is not None for _, record in overdue):
            # Reads may be answered while writes are refused (no memory, a full disk): then their
            # owners cannot renew their leases.
            self.store.check()
        if self._healthy_since is None:
            self._healthy_since = now + took
        leases = 1 if self.settled() else UNSETTLED
        patient = now >= self._healthy_since + leases * self.runtime.settings.lease_ttl
        ripe = [
            (run, record)
            for run, record in overdue
            if record.owner is None or (patient and self._seen.get(run) == record.version)
        ]
        self._seen = {run: record.version for run, record in overdue}
        self._foreign = {run: at for run, at in self._foreign.items() if run in self._seen}
        self._faulty = {run: at for run, at in self._faulty.items() if run in self._seen}
        ours = [entry for entry in ripe if self._each(self._ours, *entry)]
        free = self._without_held(ours, now)
        if free:
            self._rescue_all(free)
        elif ours and len(ripe) == len(overdue):  # what has just become overdue is soon ripe
            lease = self.runtime.settings.lease_ttl
            self._not_before = now + min(HELD_PAUSE, lease / LOOKS_PER_LEASE)

    def _rescue_all(self, runs: list[Entry]) -> None:
        self._refused = 0
        # Connected first: a run that is marked as sent again while the broker is away waits longer
        # each time.
        try:
            with Sender(self.runtime.app, timeout=self.runtime.settings.release_timeout) as send:
                for run, record in runs:
                    self._each(self._rescue, run, record, send)
        except OperationalError as exc:
            if not self._broker_away:
                logger.error(
                    "The broker does not answer; %s for it (%s first): %s",
                    counted(len(runs), "overdue run waits", "overdue runs wait"),
                    runs[0][0],
                    exc,
                )
            self._broker_away = True
        else:
            self._broker_away = False
        if self._refused == len(runs):
            self.store.check()  # raises where it takes no writes at all: then no run is faulty

    def _each(self, deal_with: Callable[..., Any], run: RunKey, record: Record, *more: Any) -> Any:
        """Call for one run; what is wrong with it is logged once, and stops no other run.

        Only a store or broker that does not answer concerns all of them.
        """
        try:
            return deal_with(run, record, *more)
        except (StoreUnavailable, OperationalError):
            raise
        except Exception as exc:
            if isinstance(exc, StoreError) and not isinstance(exc, CorruptRecord):
                self._refused += 1
            if self._faulty.get(run) != record.version:
                self._faulty[run] = record.version
                logger.error("%s is passed over, it cannot be rescued: %r", run, exc)
            return None

    def _rescue(self, run: RunKey, record: Record, send: Sender) -> None:
        done = transition(
            self.store,
            run,
            ev.Rescue(),
            self.runtime.policy,
            known=record,
            guess=False,
            observers=self.runtime.observers,
            who=self.worker,
        )
        if done.record is not None and done.record.outcome is Outcome.CANCELLED:
            self._store_revoked(run, record)
        if done.decision.verdict is not Verdict.PUBLISH or done.record is None:
            return
        try:
            publish_record(self.runtime, run, done.record, send, who=self.worker)
        except (OperationalError, PublishUncertain, CorruptRecord) as exc:
            logger.error("%s could not be published again, trying later: %s", run, exc)
            if isinstance(exc, OperationalError):
                raise
            return
        crashed = record.owner is not None or done.record.crashes_without_progress > 0
        logger.log(
            # Else no worker had a free slot for its message: nothing is wrong with the run.
            logging.WARNING if crashed else logging.INFO,
            "Rescued %s (%s): sent again after %s; %s",
            run,
            done.decision.why,
            counted(record.steps, "item"),
            _last_owner(record.owner, done.record),
        )

    def _store_revoked(self, run: RunKey, record: Record) -> None:
        """An operator had asked its owner to end it, which was lost before it did."""
        trouble = store_revoked(self.runtime.app, run, record.envelope)
        if trouble:
            logger.error("%s was cancelled, but %s", run, trouble)

    def _without_held(self, runs: list[Entry], now: float) -> list[Entry]:
        """Those that maintenance does not hold, and has not held within the last lease.

        Their messages wait in their queues, and come to be admitted first.
        """
        for run, record in runs:
            if self._each(self._is_held, run, record):
                self._held_at[run] = now
        lease = self.runtime.settings.lease_ttl
        self._held_at = {run: at for run, at in self._held_at.items() if now < at + lease}
        return [(run, record) for run, record in runs if run not in self._held_at]

    def _is_held(self, run: RunKey, record: Record) -> bool:
        return self.held(run.task, self._queue_of(record))

    def _queue_of(self, record: Record) -> str:
        envelope = unpack(record.envelope)
        delivery_info = {"exchange": envelope.exchange, "routing_key": envelope.routing_key}
        return queue_of_delivery(self.runtime.app, delivery_info)

    def _ours(self, run: RunKey, record: Record) -> bool:
        """Whether this worker can publish to the run's broker."""
        if self._foreign.get(run) == record.version:
            return False
        try:
            message = unpack(record.envelope)
            check_accepted(self.runtime.app, message)
            broker = message.broker
        except CorruptRecord as exc:
            logger.error("%s cannot be rescued: %s", run, exc)
            broker = ""
        if broker != self.runtime.broker:
            self._foreign[run] = record.version
            return False
        self._foreign.pop(run, None)
        return True


def _last_owner(owner: str | None, record: Record) -> str:
    """Why somebody else had to send the run's message."""
    who = f"owned last by {owner}" if owner else "its message was not admitted by any worker"
    if not record.crashes_without_progress:
        return who
    crashes = counted(record.crashes_without_progress, "crash", "crashes")
    return f"{who}; {crashes} without progress, the last one: {record.last_crash}"

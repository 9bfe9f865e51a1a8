"""Taking up runs whose runner is gone, or whose message nobody admitted."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from kombu.exceptions import OperationalError

from celery_graceful._celery.wire import unpack
from celery_graceful.errors import CorruptRecord, PublishUncertain
from celery_graceful.model import events as ev
from celery_graceful.model.decide import Verdict
from celery_graceful.model.record import Record, RunKey
from celery_graceful.runs.ticket import publish_record
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime
from celery_graceful.stores.base import Store

__all__ = ["Rescuer"]

logger = logging.getLogger("celery_graceful.rescue")

#: Overdue runs looked at in one go.
BATCH = 50
MOST_FOREIGN = 5000


@dataclass
class Rescuer:
    """One worker's look at overdue runs: one store call, whatever the number of runs."""

    runtime: Runtime
    store: Store
    _seen: dict[RunKey, int] = field(default_factory=dict)
    _healthy_since: float | None = None
    _foreign: set[RunKey] = field(default_factory=set)

    def store_was_away(self) -> None:
        """Runners may have been cut off as well: give their leases time to be renewed."""
        self._healthy_since = None
        self._seen.clear()
        self._wait_a_lease = True

    _wait_a_lease: bool = False

    def look(self, now: float) -> None:
        """Rescue what has been overdue, and unchanged, since the last look.

        Args:
            now: monotonic seconds.
        """
        # Those of other brokers stay overdue for ever: they must not hide ours.
        overdue = self.store.due(BATCH + min(len(self._foreign), MOST_FOREIGN))
        if self._healthy_since is None:
            self._healthy_since = now
        lease = self.runtime.settings.lease_ttl
        if self._wait_a_lease and now < self._healthy_since + lease:
            return
        self._wait_a_lease = False
        stood_still = [
            (run, record) for run, record in overdue if self._seen.get(run) == record.version
        ]
        self._seen = {run: record.version for run, record in overdue}
        for run, record in stood_still:
            self._rescue(run, record)

    def _rescue(self, run: RunKey, record: Record) -> None:
        if not self._ours(run, record):
            return
        done = transition(
            self.store, run, ev.Rescue(), self.runtime.policy, known=record, guess=False
        )
        if done.decision.verdict is not Verdict.PUBLISH or done.record is None:
            return
        try:
            publish_record(self.runtime, run, done.record)
        except (OperationalError, PublishUncertain, CorruptRecord) as exc:
            logger.error(
                "%s could not be sent on its way again; tried once more later: %s", run, exc
            )
            return
        logger.warning(
            "Rescued %s (%s): it goes on after %d items, carried last by %s, %d crashes in a row",
            run,
            done.decision.why,
            record.steps,
            record.owner,
            done.record.crashes,
        )

    def _ours(self, run: RunKey, record: Record) -> bool:
        """Whether this worker can publish to the run's broker."""
        if run in self._foreign:
            return False
        try:
            broker = unpack(record.envelope).broker
        except CorruptRecord as exc:
            logger.error("%s cannot be rescued: %s", run, exc)
            broker = ""
        if broker != self.runtime.broker:
            self._foreign.add(run)
            return False
        return True

"""The keeper: a real thread of the main process that beats for its runs and rescues others'."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from celery_graceful._celery import requests
from celery_graceful._celery.threads import native_sleep, start_native_thread
from celery_graceful.errors import StoreError, StoreUnavailable
from celery_graceful.model import events as ev
from celery_graceful.model.decide import Verdict
from celery_graceful.model.record import Outcome, RunKey
from celery_graceful.runs.rescue import Rescuer
from celery_graceful.runs.transition import Transition, transition
from celery_graceful.runtime import Runtime
from celery_graceful.stop.flag import StopFlag
from celery_graceful.stores.base import Store

__all__ = ["Keeper"]

logger = logging.getLogger("celery_graceful.worker")

#: Leases are renewed this many times before they would end.
BEATS_PER_LEASE = 3
_POLL = 0.05
#: A poll ended just before Celery looks is begun anew: so it is ended up to this many times.
MOST_WAKES = 20


class Keeper:
    """Keeps the leases of one worker's runs, and looks for overdue ones.

    Also hears what Celery decides in the main process (see :class:`RunRequest`); these calls
    come from the main thread, so they write at once and wait for the store no longer than one
    time-out.
    """

    def __init__(self, runtime: Runtime, flag: StopFlag, wake_consumer: Callable[[], None]) -> None:
        self.runtime = runtime
        self.flag = flag
        self.worker = flag.worker
        self._wake_consumer = wake_consumer
        self._wakes = MOST_WAKES
        self._stopping = False
        self._store: Store | None = None
        self._in_doubt: list[tuple[RunKey, ev.Event]] = []

    def start(self) -> None:
        """Begin to beat."""
        # Opened here: under gevent, two threads that import the same module block each other.
        store = self.runtime.open_store()
        start_native_thread(lambda: self._run(store))

    def stop(self) -> None:
        """End the thread at its next look."""
        self._stopping = True

    # -- the keeper's thread ----------------------------------------------------------------

    def _run(self, store: Store) -> None:
        rescuer = Rescuer(self.runtime, store)
        lease = self.runtime.settings.lease_ttl
        next_beat = next_look = 0.0
        troubled = False
        while not self._stopping:
            now = time.monotonic()
            self._speed_up_stop()
            try:
                if self._in_doubt:
                    self._settle_doubts(store)
                if now >= next_beat:
                    next_beat = now + lease / BEATS_PER_LEASE
                    self._beat(store)
                if now >= next_look:
                    next_look = now + self.runtime.settings.rescue_interval
                    self._cancel_revoked(store)
                    rescuer.look(now)
                troubled = False
            except StoreUnavailable as exc:
                rescuer.store_was_away()
                next_beat = now + 0.5
                if not troubled:
                    logger.error("Runs can neither be admitted nor saved, trying again: %s", exc)
                troubled = True
            except StoreError as exc:
                rescuer.store_was_away()
                logger.error("Runs can neither be admitted nor saved: %s", exc)
                next_look = now + lease
            except Exception:
                logger.exception("The keeper of runs met an error and goes on")
                next_look = now + lease
            native_sleep(_POLL)
        store.close()

    def _speed_up_stop(self) -> None:
        if self.flag.raised and not self.flag.released and self._wakes:
            self._wakes -= 1
            self._wake_consumer()

    def _beat(self, store: Store) -> None:
        runs = [RunKey(*run) for run in requests.active_runs()]
        if runs:
            store.beat(self.worker, runs, due_in=self.runtime.settings.lease_ttl)

    def _cancel_revoked(self, store: Store) -> None:
        """``revoke`` without ``terminate`` leaves a running task alone; a run it ends."""
        for run in requests.revoked_active_runs():
            transition(store, RunKey(*run), ev.Cancel(), self.runtime.policy)

    def _settle_doubts(self, store: Store) -> None:
        while self._in_doubt:
            run, event = self._in_doubt[0]
            transition(store, run, event, self.runtime.policy)
            self._in_doubt.pop(0)

    # -- the main thread --------------------------------------------------------------------

    def killed(
        self, task: str, run_id: str, outcome: str, reason: str, generation: int | None
    ) -> bool:
        """Celery ends the run: a hard time limit, or a revoke. Returns whether it does end."""
        done = self._write(RunKey(task, run_id), ev.Kill(Outcome(outcome), reason, generation))
        superseded = (
            done is not None
            and done.record is not None
            and done.decision.verdict is Verdict.REFUSED
        )
        return not superseded

    def child_lost(self, task: str, run_id: str, generation: int) -> None:
        """The child that carried the run died: its lease is free at once."""
        self._write(RunKey(task, run_id), ev.Release(self.worker, generation))

    def _write(self, run: RunKey, event: ev.Event) -> Transition | None:
        try:
            return transition(self.runtime.store, run, event, self.runtime.policy)
        except StoreUnavailable as exc:
            logger.error("%s: the store does not take %r yet, trying again: %s", run, event, exc)
            self._in_doubt.append((run, event))
        except StoreError as exc:
            logger.error("%s: the store does not take %r: %s", run, event, exc)
        return None

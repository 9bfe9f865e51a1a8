"""Renews the leases of a worker's runs, and rescues runs that have no owner."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from celery_graceful._celery.consumer import running
from celery_graceful._celery.threads.native import StillChanging, start_native_thread
from celery_graceful.errors import CorruptRecord, StoreError, StoreUnavailable
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.history import Action
from celery_graceful.model.run.record import Outcome, RunKey
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.runs.lost.rescue import Rescuer
from celery_graceful.runs.transition import Transition, transition
from celery_graceful.runtime import Runtime
from celery_graceful.stop.flag import StopFlag
from celery_graceful.stores.base import Store
from celery_graceful.worker.rounds import Rounds

logger = logging.getLogger("celery_graceful.worker")

#: Leases are renewed this many times before they would end.
BEATS_PER_LEASE = 3
#: Seconds between two attempts while the store does not answer.
RETRY = 0.5
#: Seconds between two tries to tell the store what it did not take. Not at each poll: a store that
#: refuses would fill the log, one that is silent would hold up the beats.
SETTLE_AGAIN = 2.0
#: A poll ended just before Celery looks is begun anew: so it is ended up to this many times.
MOST_WAKES = 20
#: Runs remembered as warned of.
MOST_WARNED = 1000


class LeaseRenewer:
    """Keeps the leases of one worker's runs, and looks for overdue ones.

    Two threads: a rescue may wait for the broker, and beats must not wait with it.

    Also hears what Celery decides in the main process (see :class:`RunRequest`); these calls
    come from the main thread, so they write at once and wait for the store no longer than one
    time-out; once it is known to be away, not at all.

    Args:
        wake_consumer: ends a poll for messages.
        held: whether maintenance holds a task of a queue.
        store_is_away: whether the store is known to be away.
        settled: whether no parked messages of runs are on their way back to their queues.
    """

    def __init__(
        self,
        runtime: Runtime,
        flag: StopFlag,
        wake_consumer: Callable[[], None],
        held: Callable[[str, str], bool] | None = None,
        store_is_away: Callable[[], bool] = lambda: False,
        settled: Callable[[], bool] = lambda: True,
    ) -> None:
        self.runtime = runtime
        self.flag = flag
        self.worker = flag.worker
        self._node = flag.worker.partition("/")[0]
        self._wake_consumer = wake_consumer
        self._held = held
        self._store_is_away = store_is_away
        self._settled = settled
        self._wakes = MOST_WAKES
        self._waking = False
        self._in_doubt: list[tuple[RunKey, ev.Event]] = []
        self._next_beat = 0.0
        self._settle_at = 0.0
        self._warned: set[tuple[RunKey, str]] = set()
        #: The runs whose leases were renewed last.
        self._beaten: list[RunKey] = []
        self._threads: list[Rounds] = []

    def start(self) -> None:
        """Begin to beat and to look."""
        # Opened here: under gevent, two threads that import the same module block each other.
        beats, looks = self.runtime.open_store(), self.runtime.open_store()
        rescuer = Rescuer(self.runtime, looks, worker=self.worker, settled=self._settled)
        if self._held is not None:
            rescuer.held = self._held
        interval = self.runtime.settings.rescue_interval
        self._threads = [
            Rounds(self._beat_round, beats, retry=RETRY),
            Rounds(
                lambda store, now: self._look_round(store, rescuer, now),
                looks,
                every=interval,
                retry=max(RETRY, interval),
                on_trouble=rescuer.store_was_away,
            ),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads at their next round."""
        for thread in self._threads:
            thread.stop()

    # -- the threads --------------------------------------------------------------------------

    def _beat_round(self, store: Store, now: float) -> None:
        if self.flag.raised and not self.flag.released and self._wakes and not self._waking:
            self._wakes -= 1
            self._waking = True
            # In a thread of its own: the broker may be silent, and beats must not wait for it.
            start_native_thread(self._wake)
        try:
            if now >= self._next_beat:
                self._beat(store)
                self._next_beat = now + self.runtime.settings.lease_ttl / BEATS_PER_LEASE
        finally:
            if self._in_doubt and now >= self._settle_at:
                self._settle_doubts(store, now)

    def _wake(self) -> None:
        try:
            self._wake_consumer()
        except Exception as exc:
            logger.warning("The poll for messages could not be ended, tried again: %r", exc)
        finally:
            self._waking = False

    def _beat(self, store: Store) -> None:
        try:
            self._beaten = [RunKey(*run) for run in running.active_runs(self._node)]
        except StillChanging:
            logger.debug("The leases of the last beat are kept: what runs changes all the time")
        if not self._beaten:
            return
        lease = self.runtime.settings.lease_ttl
        try:
            store.renew(self.worker, self._beaten, due_in=lease)
        except StoreUnavailable:
            raise
        except Exception:
            self._beat_each(store)

    def _beat_each(self, store: Store) -> None:
        """Each run on its own, since one of them keeps the others from being renewed."""
        failed = 0
        for run in self._beaten:
            try:
                store.renew(self.worker, [run], due_in=self.runtime.settings.lease_ttl)
            except StoreUnavailable:
                raise
            except Exception as why:
                failed += 1
                self._warn_of(run, "its lease cannot be renewed", why)
        if failed == len(self._beaten):
            store.check()  # raises where it takes no writes at all: then it is not the runs

    def _look_round(self, store: Store, rescuer: Rescuer, now: float) -> None:
        self._cancel_revoked(store)
        rescuer.look(now)

    def _cancel_revoked(self, store: Store) -> None:
        """``revoke`` without ``terminate`` leaves a running task alone; a run it ends."""
        try:
            revoked = running.revoked_active_runs(self._node)
        except StillChanging:
            return  # looked at again in the next round
        for run in revoked:
            try:
                by = Action(time.time(), f"revoke, obeyed by {self._node}", "cancel")
                self._apply(store, RunKey(*run), ev.Cancel(by=by))
            except StoreUnavailable:
                raise
            except Exception as exc:
                self._warn_of(RunKey(*run), "it was revoked and cannot be cancelled", exc)

    def _warn_of(self, run: RunKey, what: str, exc: Exception) -> None:
        """Once for each run; the others are dealt with."""
        if (run, what) not in self._warned and len(self._warned) < MOST_WARNED:
            self._warned.add((run, what))
            logger.error("%s: %s: %s", run, what, exc)

    def _settle_doubts(self, store: Store, now: float) -> None:
        self._settle_at = now + SETTLE_AGAIN
        refused: StoreError | None = None
        for doubt in list(self._in_doubt):
            run, event = doubt
            if self._has_to_wait(run, event):
                continue
            if isinstance(event, ev.Release):
                event = replace(event, late=True)
            try:
                self._apply(store, run, event)
            except CorruptRecord as exc:  # no later try would do better, and the others wait
                logger.error("%s: the store cannot take %r: %s", run, event, exc)
            except StoreUnavailable:
                raise
            except StoreError as exc:  # it has no memory, say: somebody has to fix it
                refused = exc
                continue
            except Exception as exc:
                logger.error("%s: the store cannot take %r: %r", run, event, exc)
            self._in_doubt.remove(doubt)
        if refused is not None:
            raise refused

    def _apply(self, store: Store, run: RunKey, event: ev.Event) -> Transition:
        runtime = self.runtime
        return transition(
            store, run, event, runtime.policy, observers=runtime.observers, who=self.worker
        )

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

    def child_lost(
        self, task: str, run_id: str, generation: int, how: str, *, crashed: bool = True
    ) -> None:
        """The child that carried the run died: its lease is free at once."""
        event = ev.Release(self.worker, generation, how, crashed=crashed)
        self._write(RunKey(task, run_id), event)

    def left(self, task: str, run_id: str, generation: int, fence: int) -> None:
        """An execution gave its message back, and could not tell the store."""
        how = "it left while the store was away"
        event = ev.Release(self.worker, generation, how, crashed=False, fence=fence)
        self._write(RunKey(task, run_id), event)

    def is_run(self, task: str, run_id: str, generation: int, redelivered: bool) -> bool:
        """Whether a message of an unknown task is that of a run, which is then unroutable."""
        run = RunKey(task, run_id)
        if self._store_is_away():
            return generation > 0
        try:
            record = self.runtime.store.load(run).record
        except StoreError as exc:
            logger.error("%s: nobody can say whether it is a run: %s", run, exc)
            return generation > 0
        if record is None:
            return False
        if not record.live:
            return True  # a duplicate message: its end must not be overwritten
        logger.error(
            "%s is a run whose task this worker does not know; left to workers that do. Deploy the"
            " same tasks to all workers of a queue, or route this one to a queue of its own.",
            run,
        )
        self._write(
            run, ev.MarkUnroutable(generation, f"{self.worker} got it and does not know its task")
        )
        return True

    def _write(self, run: RunKey, event: ev.Event) -> Transition | None:
        untold = any(not self._has_to_wait(*doubt) for doubt in self._in_doubt)
        if untold and isinstance(event, ev.Release):
            self._in_doubt.append((run, event))  # one time-out after the other would add up here
            return None
        if self._store_is_away():
            logger.error("%s: the store is away and hears of %r later", run, event)
            self._in_doubt.append((run, event))
            return None
        try:
            return self._apply(self.runtime.store, run, event)
        except StoreUnavailable as exc:
            logger.error("%s: the store does not take %r yet, trying again: %s", run, event, exc)
            self._in_doubt.append((run, event))
        except StoreError as exc:
            logger.error("%s: the store does not take %r: %s", run, event, exc)
        return None

    def _has_to_wait(self, run: RunKey, event: ev.Event) -> bool:
        """Whether a release might hit another execution: its message has come back here.

        It is either dropped there, and then the release is still owed; or an execution of its own
        by now.
        """
        unnamed = isinstance(event, ev.Release) and event.fence is None
        try:
            return unnamed and tuple(run) in running.active_runs(self._node)
        except StillChanging:
            return True

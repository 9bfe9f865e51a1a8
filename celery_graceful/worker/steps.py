"""The worker bootstep: raises the stop flag, and lets go of the consumer before the join."""

from __future__ import annotations

import logging
import threading
import uuid
from functools import partial
from typing import Any

from celery import bootsteps
from celery import signals as celery_signals

from celery_graceful._celery import requests
from celery_graceful._celery.acknowledge import next_job_first
from celery_graceful._celery.consumer import stop_consuming, wake_poll
from celery_graceful._celery.handlers import watch_signals
from celery_graceful._celery.pool import (
    hear_of_accepted_jobs,
    hear_of_results,
    look_for_dead_children,
)
from celery_graceful._celery.request import RunRequest
from celery_graceful._celery.unknown import leave_unknown_runs
from celery_graceful._celery.visibility import Renewals
from celery_graceful.errors import SettingsError
from celery_graceful.model.reasons import StopReason
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.stop import flag as stop_flag
from celery_graceful.tasks import definitions
from celery_graceful.worker.keeper import Keeper

__all__ = ["GracefulStep"]

logger = logging.getLogger("celery_graceful.worker")

#: How long a stop waits for children to accept what was sent to them, in seconds: they idle.
ACCEPTED = 0.5
#: How long it waits for runs to leave before it joins the pool, in seconds; the join waits on.
HANDED_OVER = 1.0


class GracefulStep(bootsteps.StartStopStep):
    """Owns the stop flag of one worker.

    It requires the pool, so that its ``stop`` runs after the consumer's and before the pool is
    joined: in between, children that wait for the release can publish their continuations.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self.runtime: Runtime = runtime_of(worker.app)
        definitions.check_all(worker.app)
        _check_store(self.runtime, worker)
        self.worker = worker
        self.released = False
        self.why = ""
        self._hub: Any = None
        self._loop_thread = 0
        name = f"{worker.hostname}/{uuid.uuid4().hex[:12]}"
        self.flag = stop_flag.owned(name)
        if _is_solo(worker):
            self.flag.set_solo()
        self.keeper = Keeper(self.runtime, self.flag, partial(wake_poll, worker))
        self.renewals = Renewals(worker)
        RunRequest.listener = self.keeper
        RunRequest.next_job_first = None

    def start(self, worker: Any) -> None:
        celery_signals.worker_shutting_down.connect(
            self._on_shutting_down,
            sender=worker.hostname,
            weak=False,
            dispatch_uid="graceful-shutting-down",
        )
        celery_signals.worker_shutdown.connect(
            self._on_shutdown, sender=worker, weak=False, dispatch_uid="graceful-shutdown"
        )
        watch_signals(self._before_stop_signal)
        if self.runtime.store_is_fallback:
            logger.warning(
                "Runs are kept in %s beside this worker, which serves one host only. Set "
                "graceful_store to a Redis or database that all workers reach.",
                self.runtime.store_url,
            )
        leave_unknown_runs(worker, self.keeper.is_run)
        self.keeper.start()
        if self.runtime.settings.keep_visible:
            self.renewals.start()

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Called whenever the event loop starts, as for the pool's own timers."""
        self._hub, self._loop_thread = hub, threading.get_ident()
        look_for_dead_children(worker, hub, every=0.5)
        self.renewals.watch(hub)
        if RunRequest.next_job_first is None:  # also called again after each reconnect
            RunRequest.next_job_first = next_job_first(worker, hub)

    def close(self, worker: Any) -> None:
        """Every stop comes by here, also those without a signal (remote control, embedded)."""
        self._raise_flag("shutdown", cold=False)
        self.renewals.unwatch()
        if self._loop_has_ended():
            if RunRequest.next_job_first is not None:
                RunRequest.next_job_first.close()
            hear_of_accepted_jobs(worker, self._hub, ACCEPTED)
        runs = requests.active_runs()
        logger.info("Stopping (%s): %d iterable tasks leave after their item", self.why, len(runs))

    def stop(self, worker: Any) -> None:
        self._raise_flag("shutdown", cold=False)
        self._release()
        if self._loop_has_ended():
            hear_of_results(worker, self._hub, requests.active_runs, HANDED_OVER)

    def _loop_has_ended(self) -> bool:
        """Else, in ``stop()`` of an embedded worker, another thread reads the children's pipes."""
        return threading.get_ident() == self._loop_thread

    def terminate(self, worker: Any) -> None:
        self._raise_flag("terminate", cold=True)
        self._release()

    def _on_shutdown(self, **_: Any) -> None:
        """The pool has ended: only now may the beats end."""
        self.keeper.stop()
        self.renewals.stop()
        RunRequest.listener = RunRequest.next_job_first = None
        stop_flag.withdraw()

    # -- signals ----------------------------------------------------------------------------

    def _before_stop_signal(self, name: str, cold: bool) -> bool:
        """Runs in the signal handler, before Celery's; returns whether Celery's is to run."""
        self._raise_flag(name, cold=cold)
        if not cold:
            return True
        if self.flag.solo:
            # Celery would raise in the middle of the task's item. Ended by the loop instead.
            requests.terminate_when_idle()
            return False
        if getattr(self.worker.pool, "is_green", False):
            # This may be a task's own greenlet, whose end Celery's handler would wait for here.
            requests.stop_when_idle()
            return False
        # Celery's cold handler freezes the event loop and ends the pool: what waits for the
        # release has to get it now.
        self._release()
        return True

    def _on_shutting_down(self, **_: Any) -> None:
        self._raise_flag("worker_shutting_down", cold=False)

    def _raise_flag(self, why: str, *, cold: bool) -> None:
        if self.flag.raise_(StopReason.SHUTDOWN, cold=cold):
            self.why = why  # told later: a signal handler must not log

    def _release(self) -> None:
        # A second signal may interrupt the first one's draining: children must not wait for it.
        if not self.released:
            self.released = True
            stop_consuming(self.worker)
        self.flag.release()


def _check_store(runtime: Runtime, worker: Any) -> None:
    """Raise where the store cannot serve this kind of worker; connects to nothing."""
    store = runtime.open_store()
    prefork = getattr(worker.pool_cls, "__module__", "").endswith(".prefork")
    if prefork and not store.shared_between_processes:
        raise SettingsError(
            f"graceful_store = {runtime.store_url!r} lives in one process, and a prefork worker "
            "has several: use redis://, sqlite:/// or another database, or start with -P threads"
        )


def _is_solo(worker: Any) -> bool:
    pool = getattr(worker, "pool_cls", None)
    return getattr(pool, "__module__", "").endswith(".solo")

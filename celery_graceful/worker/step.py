"""The worker bootstep: raises the stop flag, and lets go of the consumer before the join."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from functools import partial
from typing import Any

from celery import signals as celery_signals

from celery_graceful._celery.consumer.lost_connection import notice_lost_connection
from celery_graceful._celery.consumer.run_hooks import hooks_of, leave_unknown_runs
from celery_graceful._celery.consumer.stop_consuming import stop_consuming, wake_poll
from celery_graceful._celery.consumer.visibility import Renewals
from celery_graceful._celery.message import brokers
from celery_graceful._celery.pool.in_process import report_base_exceptions
from celery_graceful._celery.pool.kind import pool_kind
from celery_graceful._celery.pool.main_process import interrupt_main_thread, watch_signals
from celery_graceful._celery.pool.prefork import (
    hear_of_accepted_jobs,
    look_for_dead_children,
    next_job_first,
)
from celery_graceful._celery.task.app_task import rebuild_tasks
from celery_graceful._celery.threads.native import snapshot
from celery_graceful.errors import SettingsError
from celery_graceful.execution.stopping import guard
from celery_graceful.processes import leaks
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.stop import flag as stop_flag
from celery_graceful.tasks import GracefulTask, definitions, former_names
from celery_graceful.text.counting import counted
from celery_graceful.worker.contained import ContainedStep
from celery_graceful.worker.lease_renewer import LeaseRenewer
from celery_graceful.worker.stopping.countdown import what_runs
from celery_graceful.worker.stopping.hand_over import HandOver
from celery_graceful.worker.stopping.period import grace_of, in_force
from celery_graceful.worker.stopping.stop_signals import StopSignals
from celery_graceful.worker.stopping.stop_threads import Interrupter, LastMoment

logger = logging.getLogger("celery_graceful.worker")

#: How long a stop waits for children to accept what was sent to them, in seconds: they idle.
ACCEPTED = 0.5


class GracefulStep(ContainedStep):
    """Owns the stop flag of one worker.

    It requires the pool, so that its ``stop`` runs after the consumer's and before the pool is
    joined: in between, children that wait for the release can publish their continuations.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self.runtime: Runtime = runtime_of(worker.app)
        rebuild_tasks(worker.app, GracefulTask)
        former_names.register(worker.app)
        _log_faults(worker.app)
        _check_store(self.runtime, worker)
        self.worker = worker
        self.released = False
        self._hub: Any = None
        self._loop_thread = 0
        name = f"{worker.hostname}/{uuid.uuid4().hex[:12]}"
        self.flag = stop_flag.owned(name)
        self.pool = pool_kind(worker)
        if self.pool.main_thread:
            self.flag.set_solo()
        self.grace = grace_of(worker)
        self.hand_over = HandOver(
            worker,
            self.flag,
            self._waiting,
            self._before_leaving,
            lambda: self.stops.spares_plain(),  # made below
        )
        self.interrupter = Interrupter(
            self.flag, self.hand_over.running, self.hand_over.due, interrupt_main_thread
        )
        self.last_moment = LastMoment(self.flag, self.hand_over)
        self.stops = StopSignals(worker, self.flag, self.grace, self._ring, self.hand_over.leave)
        if self.grace is not None:
            self.flag.set_for_tasks(self.grace.for_tasks)
            guard.install_at_first_task()
        leaks.install(
            worker.app,
            self.runtime.settings.leaked_processes,
            tasks_overlap=self.pool.tasks_overlap,
            worker=worker.hostname,
            namespace=self.runtime.namespace,
        )
        self.lease_renewer = LeaseRenewer(
            self.runtime,
            self.flag,
            partial(wake_poll, worker),
            self._held,
            self._store_is_away,
            self._parking_is_settled,
        )
        self.renewals = Renewals(worker)
        self.hooks = hooks_of(worker)
        self.hooks.listener = self.lease_renewer

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
        logger.info("%s", in_force(self.runtime, self.grace))
        watch_signals(self._on_stop_signal)
        if self.pool.main_thread:
            self.interrupter.start()
        if self.grace is not None:
            self.last_moment.start()
        if self.runtime.store_is_fallback:
            logger.warning(
                "Runs are kept in %s beside this worker, which serves one host only. Set "
                "graceful_store to a Redis or database that all workers reach.",
                self.runtime.store_url,
            )
        if self.runtime.store_caveat:
            logger.warning(self.runtime.store_caveat)
        brokers.follow(worker)
        leave_unknown_runs(worker, self.lease_renewer.is_run)
        report_base_exceptions(worker.pool)
        self.lease_renewer.start()
        if self.runtime.settings.renew_visibility:
            self.renewals.start()

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Called whenever the event loop starts, as for the pool's own timers."""
        self._hub, self._loop_thread = hub, threading.get_ident()
        look_for_dead_children(worker, hub, every=0.5)
        notice_lost_connection(worker, hub, every=1.0)
        if not self.pool.main_thread:  # there the loop stands still during each task
            self.renewals.watch(hub)
        if self.hooks.next_job_first is None:  # also called again after each reconnect
            self.hooks.next_job_first = next_job_first(worker, hub)

    def close(self, worker: Any) -> None:
        """Every stop comes by here, also those without a signal (remote control, embedded)."""
        self.stops.asked("shutdown")
        self.renewals.unwatch()
        if self._loop_has_ended():
            if self.hooks.next_job_first is not None:
                self.hooks.next_job_first.close()
            hear_of_accepted_jobs(worker, self._hub, ACCEPTED)
        given_back = 0
        if self._hub is None or self._loop_has_ended():
            self._release()  # first: else this worker might take again what it gives back
            given_back = self.hand_over.give_back_unstarted()
        self._tell_of_stop(given_back)

    def _tell_of_stop(self, given_back: int) -> None:
        running = self.hand_over.running()
        others = [task for task in running if not task.is_run]
        logger.info(
            "Stopping (%s): %s%s%s",
            self.stops.why,
            what_runs(len(running) - len(others), others),
            f"; {counted(given_back, 'task')} not begun went back to the queue"
            if given_back
            else "",
            self._time_left(),
        )

    def _time_left(self) -> str:
        deadline, cut = self.flag.deadline, self.flag.cut
        now = time.monotonic()
        whose = "iterable tasks are " if self.stops.spares_plain() else ""
        text = "" if cut is None else f"; {whose}cut off in {max(0.0, cut - now):.0f} s"
        return text if deadline is None else f"{text}; killed in {max(0.0, deadline - now):.0f} s"

    def stop(self, worker: Any) -> None:
        self._end_tasks()

    def terminate(self, worker: Any) -> None:
        self.stops.asked("terminate", cold=True)
        if self.pool.children:
            self.stops.cut_now()
            self._end_tasks()
        else:
            self._release()  # what cannot be ended is not waited for either

    def _end_tasks(self) -> None:
        """The consumer has stopped, and the pool has not been joined yet."""
        self.stops.asked("shutdown")
        self._release()
        if self._hub is None or self._loop_has_ended():
            self.hand_over.wait(self._hub)

    def _held(self, task: str, queue: str) -> bool:
        """Whether maintenance holds a task of a queue, for workers that are not forced."""
        maintenance = getattr(self.worker, "graceful_maintenance", None)
        return maintenance is not None and maintenance.held_for_all().covers(task, queue)

    def _parking_is_settled(self) -> bool:
        maintenance = getattr(self.worker, "graceful_maintenance", None)
        return maintenance is None or maintenance.run_parking.settled

    def _store_is_away(self) -> bool:
        maintenance = getattr(self.worker, "graceful_maintenance", None)
        return maintenance is not None and not maintenance.watch.answers

    def _loop_has_ended(self) -> bool:
        """Else, in ``stop()`` of an embedded worker, another thread reads the children's pipes."""
        return threading.get_ident() == self._loop_thread

    def _on_shutdown(self, **_: Any) -> None:
        """The pool has ended: only now may the beats end."""
        self.interrupter.stop()
        self.last_moment.stop()
        self.lease_renewer.stop()
        self.renewals.stop()
        self.hooks.listener = self.hooks.next_job_first = None
        leaks.forget()
        stop_flag.withdraw(self.flag.worker)

    def _ring(self) -> None:
        self.interrupter.ring()
        self.last_moment.ring()

    def _on_stop_signal(self, name: str, cold: bool) -> bool:
        return self.stops.on_signal(name, cold)

    def _on_shutting_down(self, **_: Any) -> None:
        self.stops.asked("worker_shutting_down")

    def _waiting(self) -> list[Any]:
        """Requests that maintenance keeps from starting here."""
        maintenance = getattr(self.worker, "graceful_maintenance", None)
        return [] if maintenance is None else snapshot(maintenance.gate.waiting)

    def _before_leaving(self) -> None:
        """The process ends here and now: what others would wait for has to be reported."""
        self.lease_renewer.stop()
        self.renewals.stop()
        maintenance = getattr(self.worker, "graceful_maintenance", None)
        if maintenance is not None:
            maintenance.watch.stop()

    def _release(self) -> None:
        # A second signal may interrupt the first one's draining: children must not wait for it.
        if not self.released:
            self.released = True
            stop_consuming(self.worker)
        self.flag.release()


def _log_faults(app: Any) -> None:
    """Name the tasks that are not written as they have to be. They stop nobody else."""
    for fault in definitions.faults_in(app):
        logger.error("%s. Correct it and restart the worker", fault)
    faulty = definitions.faulty(app)
    if faulty:
        logger.error(
            "Messages of %s wait in a queue for a worker that can run them; all other tasks run",
            ", ".join(faulty),
        )


def _check_store(runtime: Runtime, worker: Any) -> None:
    """Raise where the store cannot serve this kind of worker; connects to nothing."""
    store = runtime.open_store()
    if pool_kind(worker).children and not store.shared_between_processes:
        raise SettingsError(
            f"graceful_store = {runtime.store_address!r} lives in one process, and a prefork"
            " worker has several: use redis://, sqlite:/// or another database, or start with -P"
            " threads"
        )

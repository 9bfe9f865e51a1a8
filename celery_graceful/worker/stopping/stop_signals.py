"""What the worker does in the moment it is asked to stop: flag, deadline, warm or cold."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery.exceptions import WorkerShutdown, WorkerTerminate
from celery.platforms import EX_FAILURE, EX_OK

from celery_graceful._celery.consumer import running
from celery_graceful._celery.pool.kind import pool_kind
from celery_graceful._celery.pool.main_process import say_cold
from celery_graceful.execution.stopping.stop_hooks import raise_if_cut
from celery_graceful.grace.deadlines import Grace
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.stop.flag import StopFlag

#: The cold signal at which the worker ends at once, as with Celery.
LAST_WARNING = 3


class StopSignals:
    """Raises the flag with its deadline. Works in signal handlers: no log, no lock.

    Args:
        worker: Celery's worker.
        grace: how long it has from a signal to SIGKILL, if it knows.
        ring: wakes whoever waits for the stop.
        give_up: gives back what runs, and leaves; for solo, whose task has the main thread.
    """

    def __init__(
        self,
        worker: Any,
        flag: StopFlag,
        grace: Grace | None,
        ring: Callable[[], None],
        give_up: Callable[[], None],
    ) -> None:
        self._worker = worker
        self._flag = flag
        self._grace = grace
        self._ring = ring
        self._give_up = give_up
        self._cold_signals = 0
        self._interrupted = False
        #: When plain tasks are cut off; ``None``: they are not. Iterable ones are by the flag.
        self._plain_cut: float | None = None
        #: Who asked for the stop first.
        self.why = ""

    def asked(self, why: str, *, cold: bool = False) -> None:
        """The worker was asked to stop, by whatever way."""
        if self._flag.raise_(StopReason.SHUTDOWN, cold=cold):
            self.why = why  # logged later: a signal handler must not log
            self._ring()

    def on_signal(self, name: str, cold: bool) -> bool:
        """A stop signal; in its handler. Returns whether Celery's handler is to run."""
        now = time.monotonic()
        if self._flag.solo and _is_over(self._flag.cut, now):
            self._interrupt()
            return False
        if name != "SIGHUP":  # it begins anew, and nobody kills it
            self._set_deadline(now)
        if not cold:
            self.asked(name)
            return True
        self._cold_signals += 1
        if self._cold_signals >= LAST_WARNING:
            self._give_up()
            raise WorkerTerminate(EX_FAILURE)  # should it not have left
        self._stop_cold(name, now)
        return False

    def spares_plain(self) -> bool:
        """Whether only iterable tasks are cut off: at the cut, or now that it has come."""
        cut, now = self._flag.cut, time.monotonic()
        return not _is_over(self._plain_cut, now if cut is None else max(now, cut))

    def cut_now(self) -> None:
        """What runs has no more time."""
        self._cut_by(time.monotonic())

    def _set_deadline(self, now: float) -> None:
        """The kill comes so long after the first signal; nobody kills without one."""
        if self._grace is not None and self._flag.deadline is None:
            self._flag.set_deadline(now + self._grace.seconds)
            self._cut_by(now + self._grace.for_tasks, plain=not self._grace.learnt)

    def _stop_cold(self, name: str, now: float) -> None:
        """Celery would sleep and end the pool here, in the handler; its loop would stand still."""
        soft = float(self._worker.app.conf.worker_soft_shutdown_timeout or 0)
        if self._cold_signals > 1:
            soft = 0.0
        if soft or pool_kind(self._worker).children:
            # Only children can be ended; elsewhere a cold stop waits for its tasks, as Celery's.
            self._cut_by(now + soft)
        self.asked(name, cold=not soft)
        if self._flag.solo and not soft:
            # Celery would raise in the middle of the task's item. Ended by the loop instead.
            running.terminate_when_idle()
        else:
            running.stop_when_idle()
        if self._cold_signals == 1:
            say_cold(self._worker, name)
        self._ring()

    def _cut_by(self, moment: float, *, plain: bool = True) -> None:
        self._flag.set_cut(_earlier(self._flag.cut, moment))
        if plain:
            self._plain_cut = _earlier(self._plain_cut, moment)

    def _interrupt(self) -> None:
        """On solo: raise in the task, as Celery's cold stop does; a second time, leave."""
        if not running.something_runs():
            return
        if self._interrupted:
            self._give_up()
        self._interrupted = True
        self._flag.raise_(StopReason.SHUTDOWN, cold=True)
        raise_if_cut()
        raise WorkerShutdown(EX_OK)


def _earlier(known: float | None, moment: float) -> float:
    return moment if known is None else min(known, moment)


def _is_over(moment: float | None, now: float) -> bool:
    return moment is not None and now >= moment

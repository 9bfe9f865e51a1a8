"""The end of a stop: wait for what runs, cut it off in time, give it back before the kill."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from signal import SIGKILL
from typing import Any

from celery_graceful._celery.consumer.running import UnderWay, under_way
from celery_graceful._celery.consumer.unstarted import hand_back, left_by_closed_pool, take_back
from celery_graceful._celery.pool.children import TERM_SIGNAL
from celery_graceful._celery.pool.event_loop import Service
from celery_graceful._celery.pool.kind import pool_kind
from celery_graceful._celery.pool.main_process import leave_anyway, leave_now
from celery_graceful._celery.threads.native import StillChanging
from celery_graceful.grace.deadlines import own_end
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.stop.flag import StopFlag
from celery_graceful.text.counting import counted
from celery_graceful.worker.stopping.countdown import Countdown, described
from celery_graceful.worker.stopping.cut_tasks import CutTasks

logger = logging.getLogger("celery_graceful.worker")

#: How often it is asked what runs, where that changes all the time; each takes 50 ms at most.
LOOKS = 40
#: How long a child that got SIGKILL may take to be seen dead, in seconds.
DEAD = 1.0


class HandOver:
    """Waits in a stopping worker's main thread until its tasks have ended or are dealt with.

    Args:
        worker: Celery's worker.
        waiting: requests that wait in the worker and have not begun.
        before_leaving: called before a worker leaves that cannot end its tasks.
        spares_plain: whether only iterable tasks are cut off now.
    """

    def __init__(
        self,
        worker: Any,
        flag: StopFlag,
        waiting: Callable[[], Iterable[Any]],
        before_leaving: Callable[[], None],
        spares_plain: Callable[[], bool],
    ) -> None:
        self._worker = worker
        self._flag = flag
        self._waiting = waiting
        self._before_leaving = before_leaving
        self._spares_plain = spares_plain
        #: Whether the pool can end a task without harm to others.
        self._can_end = pool_kind(worker).children
        self._cut_off = CutTasks(worker)
        #: What was cut off and is not dealt with; read by another thread.
        self._in_hand: list[UnderWay] = []
        #: Ids of tasks that were asked to end: a second signal would end ``finally`` blocks.
        self._told_to_end: set[str] = set()
        #: Ids of those that were given back or reported.
        self._settled: set[str] = set()

    def running(self) -> list[UnderWay]:
        """What runs in the worker now. From any thread.

        Raises:
            StillChanging: nobody can say, for seconds; that does not mean that nothing runs.
        """
        for _ in range(LOOKS):
            with suppress(StillChanging):
                return under_way(self._worker, self._waiting())
        return under_way(self._worker, self._waiting())

    def give_back_unstarted(self) -> int:
        """Return what has not begun to the broker; returns how many messages those are.

        Celery keeps them until the last task has ended; others could have done them by then.
        """
        waiting = [*self._waiting()]
        count = 0
        try:
            waiting += take_back(self._worker, lambda request: True)
            waiting += [r for r in left_by_closed_pool(self._worker) if r not in waiting]
            count = len(waiting)
            hand_back(waiting, enough=lambda: _is_over(self._flag.cut))
        except Exception as exc:
            logger.warning("%s back only at the end: %r", _go(waiting), exc)
        else:
            if waiting:
                logger.warning("%s back only at the end: time is over", _go(waiting))
        return count - len(waiting)

    def wait(self, hub: Any) -> None:
        """Return when nothing runs any more, or all that did is given back or reported.

        Args:
            hub: the worker's event loop, if this thread runs it.
        """
        service = Service(self._worker, hub)
        if self._flag.cut is not None:
            service.be_awake_in(self._flag.cut - time.monotonic())
        countdown = Countdown(self._flag, self._spares_plain)
        while running := self.running():
            if self._flag.solo:
                self._cut(running, service)
                return
            if _is_over(self._flag.cut):
                rest = [task for task in running if task.id not in self._settled]
                due = self._due(rest)
                if due:
                    self._cut(due, service)
                if len(due) == len(rest):
                    return
            countdown.tell(self.running)
            service.turn()

    def due(self) -> list[UnderWay]:
        """What runs and is cut off, now that its time is over. From any thread."""
        return self._due(self.running())

    def _due(self, running: list[UnderWay]) -> list[UnderWay]:
        if not self._spares_plain():
            return running
        runs = [task for task in running if task.is_run]
        # Where tasks cannot be ended one by one, those that are spared keep the others.
        return runs if self._can_end or len(runs) == len(running) else []

    def cut_without_main_thread(self) -> None:
        """The cut has come and the main thread has not: ``finally`` blocks run all the same."""
        if self._can_end and (due := self.due()):
            self._flag.raise_(StopReason.SHUTDOWN, cold=True)
            self._tell_to_end(due)

    def _tell_to_end(self, tasks: list[UnderWay]) -> None:
        fresh = [task for task in tasks if task.id not in self._told_to_end]
        self._told_to_end.update(task.id for task in fresh)
        _end(self._worker, fresh, TERM_SIGNAL)

    def leave_unsettled(self) -> None:
        """The kill is here: tell of what is not dealt with, and end this process.

        Joining a prefork pool takes about two seconds, and a broker or store that is silent keeps
        the main thread for longer. An exit is easier to live with than a kill, which managers
        report, and of which nobody can tell that it hit an empty worker.

        Plain tasks that are spared keep the process: the kill may come later than is known.
        """
        if self._spares_plain() and (spared := [t for t in self.running() if not t.is_run]):
            logger.warning(
                "The grace period is over, and %s running, not cut off since nobody has told this"
                " worker its period (set graceful_grace_period to have them handed back): %s",
                counted(len(spared), "task is", "tasks are"),
                described(spared),
            )
            return
        with leave_anyway():
            left = {task.id: task for task in (*self.running(), *self._in_hand)}
            if self._can_end:
                _end(self._worker, list(left.values()), SIGKILL)
            self._cut_off.tell_of_the_rest(list(left.values()))
            self._before_leaving()

    def leave(self) -> None:
        """Give back what runs, report the rest, and end this process, here and now."""
        running = self.running()
        if self._can_end:
            _end(self._worker, running, SIGKILL)
        self._deal_with(running)
        self._before_leaving()
        leave_now(self._worker)

    def _cut(self, running: list[UnderWay], service: Service) -> None:
        own_time = self._own_time()
        self._flag.raise_(StopReason.SHUTDOWN, cold=True)
        self._in_hand = list(running)
        if self._can_end:
            self._tell_to_end(running)
        service.hurry()
        left = running if self._flag.solo else self._settle(running, service, own_time)
        if left and self._can_end:
            _end(self._worker, left, SIGKILL)
            left = self._settle(left, service, DEAD)
        self._deal_with(left)
        self._settled.update(task.id for task in running)
        others = [task for task in self.running() if task.id not in self._settled]
        if left and not others and not self._flag.solo:
            # What cannot be ended runs on until this process does.
            self._before_leaving()
            leave_now(self._worker)

    def _deal_with(self, left: list[UnderWay]) -> None:
        cut_off = self._cut_off
        for task in left:
            self._deal_with_one(task)
        cut_off.store_outcomes()
        logger.warning(
            "The time is over: %s given back, %d lost%s",
            counted(cut_off.given_back, "task"),
            cut_off.lost,
            self._before_the_kill(),
        )

    def _deal_with_one(self, task: UnderWay) -> None:
        self._cut_off.settle(task)
        self._in_hand = [other for other in self._in_hand if other is not task]

    def _settle(self, running: list[UnderWay], service: Service, seconds: float) -> list[UnderWay]:
        """Deal with each task as it ends; returns those that have not ended in time."""
        left, until = list(running), time.monotonic() + seconds
        while left and time.monotonic() < until:
            service.turn()
            for task in [task for task in left if task.ended]:
                left.remove(task)
                if task.was_cut:
                    self._deal_with_one(task)
                else:
                    self._in_hand = [other for other in self._in_hand if other is not task]
        return left

    def _own_time(self) -> float:
        now = time.monotonic()
        return own_end(now, self._flag.deadline) - now

    def _before_the_kill(self) -> str:
        deadline = self._flag.deadline
        if deadline is None:
            return ""
        return f", {deadline - time.monotonic():.1f} s before the kill"


def _end(worker: Any, tasks: list[UnderWay], number: int) -> None:
    for task in tasks:
        if not task.ended:
            task.end(worker, number)


def _go(messages: list[Any]) -> str:
    return counted(len(messages), "message goes", "messages go")


def _is_over(moment: float | None) -> bool:
    return moment is not None and time.monotonic() >= moment

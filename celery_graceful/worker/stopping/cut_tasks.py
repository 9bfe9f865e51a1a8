"""What becomes of a task that a stopping worker has cut off: given back, or lost and reported."""

from __future__ import annotations

import logging
from typing import Any

from celery_graceful import signals
from celery_graceful._celery.consumer.running import UnderWay, flush_events
from celery_graceful._celery.threads.native import where_main_thread_is

logger = logging.getLogger("celery_graceful.worker")


class CutTasks:
    """Gives messages back, and reports what cannot be given back. Nothing ends without a line.

    Args:
        worker: Celery's worker.
    """

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._lost: list[UnderWay] = []
        #: How many messages went back to the broker, and how many tasks are lost.
        self.given_back = self.lost = 0

    def settle(self, task: UnderWay) -> None:
        """Deal with a task that was cut off. Its outcome, if it is lost, is stored later."""
        if task.is_run:
            self._release(task)
        if task.can_go_back:
            self._give_back(task)
        elif task.was_revoked:
            logger.info("Ended %s[%s], which was revoked and still ran", task.name, task.id)
        elif not task.is_run:
            self._report_lost(task)

    def store_outcomes(self) -> None:
        """Have Celery store FAILURE for what is lost, and send events; may take its time."""
        for task in self._lost:
            why = (
                f"cut off after {task.seconds:.0f} s: its worker was stopped and about to be killed"
            )
            try:
                if not task.fail(why):
                    self._not_lost(task)
            except Exception:
                logger.exception("FAILURE of %s[%s] could not be stored", task.name, task.id)
        self._lost.clear()
        try:
            flush_events(self._worker)
        except Exception as exc:
            logger.warning("Monitoring events could not be sent: %r", exc)

    def tell_of_the_rest(self, left: list[UnderWay]) -> None:
        """Say, just before the process ends, what is not dealt with. From any thread.

        Args:
            left: what runs, or was cut off and never given back or reported.
        """
        lost = [task for task in self._lost if task not in left]
        if not left and not lost:
            logger.warning("The kill is near and nothing runs here: leaving as it is")
            return
        logger.error(
            "The kill is near and the worker's main thread is stuck, leaving as it is: %s",
            where_main_thread_is(),
        )
        for task in left:
            if task.can_go_back:
                _say_not_given_back(task, task.seconds, "there was no time left")
            elif not task.is_run and not task.was_revoked:
                _say_lost(task, task.seconds)
        for task in lost:
            logger.error("FAILURE of %s[%s] could not be stored in time", task.name, task.id)

    def _not_lost(self, task: UnderWay) -> None:
        self.lost -= 1
        logger.warning(
            "Not lost after all: %s[%s] had stored its result; what comes after that was cut off",
            task.name,
            task.id,
        )

    def _release(self, task: UnderWay) -> None:
        """Whoever gets the run's message next has to find no lease."""
        request = task.request
        listener = request.hooks.listener
        if listener is not None and not task.ended:
            listener.child_lost(
                request.type, task.id, request.generation, "cut off at a stop", crashed=False
            )

    def _give_back(self, task: UnderWay) -> None:
        seconds = task.seconds
        try:
            task.give_back()
        except Exception as exc:
            _say_not_given_back(task, seconds, repr(exc))
            return
        self.given_back += 1
        logger.warning(
            "Handed back %s[%s]: cut off after %.1f s, it %s",
            task.name,
            task.id,
            seconds,
            "goes on after its last checkpoint" if task.is_run else "begins again elsewhere",
        )
        self._tell(signals.task_handed_back, "task-handed-back", task, seconds)

    def _report_lost(self, task: UnderWay) -> None:
        seconds = task.seconds
        self.lost += 1
        _say_lost(task, seconds)
        self._lost.append(task)
        self._tell(signals.task_lost, "task-lost", task, seconds, arguments=task.arguments)

    def _tell(
        self, signal: Any, event: str, task: UnderWay, seconds: float, **details: Any
    ) -> None:
        worker = self._worker.hostname
        signals.emit(
            signal, task.request.task, task_id=task.id, worker=worker, seconds=seconds, **details
        )
        try:
            task.send_event(event, name=task.name, runtime=seconds, **details)
        except Exception as exc:
            logger.warning("The event %s of %s could not be sent: %r", event, task.id, exc)


def _say_lost(task: UnderWay, seconds: float) -> None:
    logger.error(
        "Lost %s[%s] %s: cut off after %.1f s, and its message was acknowledged when it began. %s",
        task.name,
        task.id,
        task.arguments,
        seconds,
        "Celery sends it again as a retry (retry_on_worker_lost)."
        if task.is_retried
        else "With acks_late it would have gone back to its queue.",
    )


def _say_not_given_back(task: UnderWay, seconds: float, why: str) -> None:
    logger.error(
        "%s[%s] was cut off after %.1f s and could not be given back: %s. The broker delivers it"
        " again when it misses this worker (Redis: after the visibility timeout)",
        task.name,
        task.id,
        seconds,
        why,
    )

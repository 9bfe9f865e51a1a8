"""Requests that run in this process now: which they are, ending them, what became of them.

Tried on Celery 5.5 to 5.7 with billiard 4.2 and 4.3.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from billiard.einfo import ExceptionInfo
from billiard.exceptions import Terminated, WorkerLostError
from celery.platforms import EX_FAILURE, EX_OK
from celery.states import SUCCESS
from celery.worker import state as _typed_state
from kombu.utils.encoding import safe_repr

from celery_graceful._celery.consumer.request import RunRequest, stored_state
from celery_graceful._celery.consumer.unstarted import begun, hand_back
from celery_graceful._celery.threads.native import StillChanging, snapshot
from celery_graceful._celery.worker_parts import events_of

state: Any = _typed_state

#: What a pool child that was ended answers for its task, or the pool in its place.
ENDED_BY_FORCE = (SystemExit, KeyboardInterrupt, Terminated, WorkerLostError)


class UnderWay:
    """One request that runs here.

    Args:
        request: Celery's request; it was accepted by the pool.
    """

    def __init__(self, request: Any) -> None:
        self.request = request
        reference = getattr(request, "_apply_result", None)
        # Held from here on: the pool forgets a job when it is done.
        job = reference() if reference is not None else None
        self._job = job if hasattr(job, "ready") else None

    @property
    def name(self) -> str:
        """The task's name for people; its sender may have given another (``shadow``)."""
        return str(self.request.name)

    @property
    def id(self) -> str:
        """The task's id."""
        return str(self.request.id)

    @property
    def is_run(self) -> bool:
        """Whether it is an execution of an iterable task."""
        return isinstance(self.request, RunRequest)

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return max(0.0, time.time() - (self.request.time_start or time.time()))

    @property
    def can_go_back(self) -> bool:
        """Whether its message is still the broker's: acknowledged late, and not yet."""
        return bool(self.request.task.acks_late) and not self.request.acknowledged

    @property
    def was_revoked(self) -> bool:
        """Whether REVOKED is its outcome, however long it takes to end."""
        return bool(self.request._already_revoked)

    @property
    def is_retried(self) -> bool:
        """Whether Celery sends it again when its process is lost (from Celery 5.7 on)."""
        return bool(getattr(self.request.task, "retry_on_worker_lost", False))

    @property
    def arguments(self) -> str:
        """Its arguments, as its sender wants them shown."""
        headers = self.request._request_dict
        args = headers.get("argsrepr") or safe_repr(self.request.args)
        kwargs = headers.get("kwargsrepr") or safe_repr(self.request.kwargs)
        return f"args={args} kwargs={kwargs}"

    @property
    def ended(self) -> bool:
        """Whether it runs no more, one way or another."""
        if self._job is not None:
            return bool(self._job.ready())
        return self.request not in state.active_requests

    @property
    def was_cut(self) -> bool:
        """Whether it was ended by force, after it has :attr:`ended`; else its outcome is known."""
        if self._job is None:
            return not self.ended
        if self._job._success:
            return False
        exc = self._job._value.exception
        return isinstance(getattr(exc, "exc", exc), ENDED_BY_FORCE)

    def end(self, worker: Any, number: int) -> None:
        """Send a signal to the pool child that runs it; Celery stores no outcome for that."""
        self.request._already_cancelled = True
        if self.is_run:
            self.request.cut_off = True
        worker.pool.terminate_job(self.request.worker_pid, number)

    def give_back(self) -> None:
        """Return its message to the broker. May raise any of the connection's errors."""
        hand_back([self.request])

    def fail(self, why: str) -> bool:
        """Have Celery do what it does for a task whose process is lost: FAILURE, error callbacks.

        Returns false, with nothing done, when SUCCESS is stored: then the task was cut off in
        what comes after it, a receiver of ``task_postrun`` for one. May raise what the result
        backend raises.
        """
        # Celery looks from 5.7 on; before, a chord would count such a member twice.
        if stored_state(self.request) == SUCCESS:
            return False
        self.request._already_cancelled = False
        try:
            raise WorkerLostError(why)
        except WorkerLostError:
            self.request.on_failure(ExceptionInfo(), return_ok=True)
        return True

    def send_event(self, kind: str, **fields: Any) -> None:
        """Send one of Celery's monitoring events about it, if the worker sends any."""
        self.request.send_event(kind, **fields)


def flush_events(worker: Any) -> None:
    """Send the monitoring events that wait for the event loop's next turn."""
    dispatcher = events_of(worker)
    if dispatcher is not None:
        dispatcher.flush()


def under_way(worker: Any, held_here: Iterable[Any] = ()) -> list[UnderWay]:
    """What runs in this worker now, the longest first.

    Args:
        held_here: requests that wait in the worker and have not begun.
    """
    found = [r for r in begun(worker, held_here) if getattr(r, "time_start", None)]
    return [UnderWay(request) for request in sorted(found, key=lambda r: r.time_start)]


def active_runs(node: str) -> list[tuple[str, str]]:
    """Task name and id of the iterable tasks that run in the worker of this name now.

    Raises:
        StillChanging: nobody can say.
    """
    active = [r for r in snapshot(state.active_requests) if isinstance(r, RunRequest)]
    runs = [r for r in active if r.hostname == node]
    return [(r.type, r.id) for r in runs if isinstance(r.id, str)]  # a stranger's id may be a list


def revoked_active_runs(node: str) -> list[tuple[str, str]]:
    """Those of :func:`active_runs` whose id was revoked."""
    return [run for run in active_runs(node) if run[1] in state.revoked]


def something_runs() -> bool:
    """Whether any task, of whatever kind, runs in this worker now; also when that is not known."""
    try:
        return bool(snapshot(state.active_requests))
    except StillChanging:
        return True


def stop_when_idle() -> None:
    """Have the worker's loop end it (a warm stop) at its next turn."""
    state.should_stop = EX_OK


def terminate_when_idle() -> None:
    """Have the worker's loop end it (a cold stop) when the task it is in has returned."""
    state.should_terminate = EX_FAILURE

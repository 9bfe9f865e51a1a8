"""The main process's view of a delivery: what Celery decides there, the run must hear of.

Hard time limits, revokes and dead children are dealt with in the worker's main process, where no
code of the task runs. ``Task.Request`` is Celery's documented place to hook in.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback  # type: ignore[attr-defined]
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery import states
from celery.worker import state as _typed_state
from celery.worker.request import Request as _Request
from celery.worker.state import task_ready

from celery_graceful._celery.consumer.run_hooks import hooks_for
from celery_graceful._celery.message.bodies import Raw, written_anew
from celery_graceful._celery.message.headers import (
    NODE,
    QUEUE,
    RAW,
    RECEIVED,
    generation_of,
    sent_home,
    uptime,
)
from celery_graceful._celery.pool.kind import kind_of_pool
from celery_graceful._celery.task.backend_guard import expect
from celery_graceful._celery.task.delivery import ExecutionLeft, NotAdmitted
from celery_graceful.errors import BaseExceptionRaised

logger = logging.getLogger("celery_graceful.worker")

# Celery's type stubs leave out what is private in it, which is what this module is about.
Request: Any = _Request
state: Any = _typed_state
#: In the words of billiard, whose error has it in no other form.
_ENDED_BY = re.compile(r"signal \d+(?: \(\w+\))?|exitcode -?\d+")


class RunRequest(Request):  # type: ignore[misc]
    """A request for an iterable task."""

    #: It was not admitted here: it must not start again before its message was parked.
    postponed = False
    #: The cause is its own run, and not the store.
    postponed_alone = False
    #: The stopping worker has ended its child, since the time was over.
    cut_off = False
    #: The task raised no ``Exception`` in this very process: no child was lost.
    raised_here = False
    #: Its hard time limit was exceeded, and its message is requeued.
    resumes_after_limit = False
    #: Its hard time limit was exceeded, and the run has failed.
    failed_at_limit = False

    def __init__(self, message: Any, **options: Any) -> None:
        #: Of the worker that has received the message.
        self.hooks = hooks_for(message)
        super().__init__(message, **options)
        headers = self._request_dict
        if self._decoded:  # protocol 1: Celery leaves the message's headers aside
            for name, value in (message.headers or {}).items():
                headers.setdefault(name, value)
        self.generation = generation_of(headers)
        redelivered = self.delivery_info.get("redelivered")
        self._is_fresh = not (self.generation > 0 or redelivered)
        if not self._is_fresh:
            # ``expires`` is for the start. An expired redelivery would also put the id into the
            # set of revoked ones, and with it every continuation.
            self._expires = None
        # Retries and successors are to take the message's own way again.
        self.delivery_info.update(sent_home(headers))
        expect(self)
        raw = self._raw(message)
        if raw is not None:
            own = {RAW: raw, RECEIVED: uptime(), NODE: self.hostname}
            queue_of = self.hooks.queue_of
            if queue_of is not None and not sent_home(headers):
                own[QUEUE] = queue_of(message)
            headers["properties"] = {**(headers.get("properties") or {}), **own}

    def _raw(self, message: Any) -> Raw | None:
        """What a successor is made of."""
        if self._decoded:
            return written_anew(message, self._body, self._request_dict)
        # The same bytes object as in the call to the pool: pickled once.
        return self._body, self._content_type, self._content_encoding, dict(message.headers)

    def acknowledge(self) -> None:
        if self.hooks.next_job_first is None:
            super().acknowledge()
        else:
            self.hooks.next_job_first(super().acknowledge)

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        # Only a fresh message expires, and that one carries no run yet.
        if not (expired or self._tell_killed("cancelled", "revoked") or self._is_fresh):
            self._drop()  # the run has ended otherwise, and that stands
            self._already_revoked = True
            return
        super()._announce_revoked(reason, terminated, signum, expired)

    def terminate(self, pool: Any, signal: Any = None) -> None:
        # Before the signal: the child may hand over in the moment it has left.
        self._tell_killed("cancelled", "revoked")
        super().terminate(pool, signal)

    def cancel(self, pool: Any, signal: Any = None, *args: Any, **options: Any) -> None:
        # Only prefork can end a task without harm: on the other pools the execution, which has seen
        # the flag, would be killed while it hands over.
        if kind_of_pool(pool).children:
            super().cancel(pool, signal, *args, **options)

    def _announce_cancelled(self, *args: Any, **options: Any) -> None:
        # Celery would store RETRY, perhaps over the SUCCESS of a continuation that was quicker.
        task_ready(self)
        self.send_event("task-cancelled")
        self._already_cancelled = True

    def on_timeout(self, soft: bool, timeout: float) -> None:
        if not soft:
            if self.resumes_after_limit:
                return
            self.failed_at_limit = True
            if not self._tell_killed("failed", f"hard time limit of {timeout} s", self.generation):
                self._drop()
                return
        super().on_timeout(soft, timeout)

    def reject(self, requeue: bool = False) -> None:
        if requeue and self.failed_at_limit:
            self.acknowledge()  # Celery would have a run that has failed delivered again
        else:
            super().reject(requeue)

    def _resume_after_limit(self, exc: TimeLimitExceeded) -> None:
        """Requeue the message: the run resumes at its checkpoint, as ``acks_on_timeout`` says."""
        self.resumes_after_limit = True
        logger.error(
            "Hard time limit (%ss) exceeded for %s[%s]: acks_on_timeout is off, so its message is"
            " requeued and the run resumes at its last checkpoint",
            exc.args[0] if exc.args else "?",
            self.name,
            self.id,
        )
        self._tell_lost("hard time limit")  # first: whoever gets the message has to find no lease
        task_ready(self)
        self.reject(requeue=True)

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> Any:
        exc = exc_info.exception
        if isinstance(exc, ExceptionWithTraceback):  # not what Retry was raised for, often None
            exc = exc.exc
        if self._was_raised_beside_the_run(exc):
            return self._fail(exc)
        if isinstance(exc, NotAdmitted) and self._waits_here():
            self.postponed, self.postponed_alone = True, not exc.store
            return self.hooks.postpone(self)  # type: ignore[misc]
        if isinstance(exc, TimeLimitExceeded) and not return_ok and not acks_on_timeout(self.task):
            return self._resume_after_limit(exc)  # prefork: the child is about to be killed
        lost = isinstance(exc, (WorkerLostError, SystemExit, KeyboardInterrupt))
        lost = lost or (self.cut_off and isinstance(exc, Terminated))
        if lost:
            # Before the message goes back to the broker: whoever gets it has to find no lease.
            self._tell_lost(how_it_died(exc), crashed=not self.cut_off)
        listener = self.hooks.listener
        if isinstance(exc, ExecutionLeft) and listener is not None:
            listener.left(self.type, self.id, self.generation, exc.fence)
        # ``on_timeout`` comes next and stores this one; Celery does so twice, errbacks included.
        return_ok = return_ok or isinstance(exc, TimeLimitExceeded)
        return super().on_failure(exc_info, send_failed_event, return_ok)

    def _waits_here(self) -> bool:
        """Whether this worker keeps a message that was not admitted, in place of the broker.

        Delivered again at once it would be refused at once, and quorum queues drop a message that
        was delivered too often.
        """
        return self.hooks.postpone is not None and not (
            self.acknowledged or self._already_cancelled or self._already_revoked or is_stopping()
        )

    def _drop(self) -> None:
        """The message is not needed any more."""
        task_ready(self)
        self.acknowledge()

    def _was_raised_beside_the_run(self, exc: BaseException) -> bool:
        """Whether the task's own hooks, or receivers of signals, raised no ``Exception``.

        What a run raises itself is an ``Exception`` when it leaves the loop. Delivering the message
        again would meet the same code again, without an end.
        """
        if self.cut_off or self._already_cancelled or self._already_revoked or is_stopping():
            return False
        if isinstance(exc, WorkerLostError):
            return self.raised_here
        return not isinstance(exc, (Exception, Terminated))

    def _fail(self, exc: BaseException) -> Any:
        """Fail the run, unless its outcome is stored already."""
        shown = str(exc) if self.raised_here else f"{type(exc).__name__}({exc})"
        shown = shown[:200]
        stored = stored_state(self)
        outcome = "completed" if stored == states.SUCCESS else "failed"
        ends = self._tell_killed(outcome, f"raised {shown}", self.generation)
        if stored in (states.SUCCESS, states.FAILURE) or not ends:
            self._drop()
            return None
        try:
            raise BaseExceptionRaised(
                f"{self.type}[{self.id}]: a hook of the task or a receiver of a signal raised "
                f"{shown}. That is no Exception, so the run fails; raise an Exception instead."
            )
        except BaseExceptionRaised:
            return super().on_failure(ExceptionInfo())

    def _tell_killed(self, outcome: str, reason: str, generation: int | None = None) -> bool:
        listener = self.hooks.listener
        return listener is None or listener.killed(self.type, self.id, outcome, reason, generation)

    def _tell_lost(self, how: str, *, crashed: bool = True) -> None:
        if self.hooks.listener is not None:
            self.hooks.listener.child_lost(
                self.type, self.id, self.generation, how, crashed=crashed
            )


def stored_state(request: Any) -> str | None:
    """What the result backend says of a request's task; ``None`` where it says nothing.

    May raise what the result backend raises.
    """
    backend = request.task.backend
    if request.ignore_result or backend.as_uri() in ("rpc://", "disabled://"):
        return None  # never written, or not to be read here
    return str(backend.get_task_meta(request.id, cache=False)["status"])


def acks_on_timeout(task: Any) -> bool:
    """Whether a hard time limit ends a task; else its message is to be delivered again.

    Celery has ``acks_on_timeout`` since 5.7, and ``acks_on_failure_or_timeout`` before.
    """
    own = getattr(task, "acks_on_timeout", None)
    if own is None:
        own = getattr(task, "acks_on_failure_or_timeout", None)
    return True if own is None else bool(own)


def how_it_died(exc: BaseException) -> str:
    """How a child died: its signal or exit code, as far as is known."""
    found = _ENDED_BY.search(str(exc))
    return found.group() if found else f"{type(exc).__name__}: {exc}"[:200]


def is_stopping() -> bool:
    """Whether a signal stops this process's worker."""
    wishes = (state.should_stop, state.should_terminate)  # exit codes, 0 among them
    return any(wish is not None and wish is not False for wish in wishes)

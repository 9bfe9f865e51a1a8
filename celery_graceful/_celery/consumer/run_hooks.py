"""What one worker does about its runs, and how its requests come to know it.

A request knows its app and the worker's name, and two workers of a process may share both. So the
messages of runs are marked as they come in, by ``start_strategy`` of their tasks, which Celery
calls with the consumer. Tried on Celery 5.5 to 5.7.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from celery_graceful._celery.message.bodies import task_and_id
from celery_graceful._celery.message.headers import GENERATION, generation_of

if TYPE_CHECKING:
    from celery_graceful._celery.pool.prefork import NextJobFirst

logger = logging.getLogger("celery_graceful.worker")

#: Where a worker keeps its hooks, and a message those of the worker that has received it.
_MARK = "graceful_hooks"


class Listener(Protocol):
    """What the main process reports of the runs that its worker owns."""

    def killed(
        self, task: str, run_id: str, outcome: str, reason: str, generation: int | None
    ) -> bool:
        """Celery ends the run (``outcome`` is ``failed`` or ``cancelled``); does it end?

        False when another delivery owns it by now: Celery must not store an outcome then.
        """

    def left(self, task: str, run_id: str, generation: int, fence: int) -> None:
        """The execution with this fence gives its message back, and could not tell the store."""

    def child_lost(
        self, task: str, run_id: str, generation: int, how: str, *, crashed: bool = True
    ) -> None:
        """The child that ran this generation died; ``how`` is for people.

        ``crashed`` is false when the worker has ended it itself, at a stop.
        """


@dataclass(eq=False, slots=True)
class RunHooks:
    """What one worker does about its runs; nothing, before its steps have set it."""

    listener: Listener | None = None
    #: Where an acknowledgement waits until the pool's next job is on its way.
    next_job_first: NextJobFirst | None = None
    #: Which queue a message came from, if that is known.
    queue_of: Callable[[Any], str | None] | None = None
    #: Takes a request that was not admitted, in any thread.
    postpone: Callable[[Any], None] | None = None


#: Those of a request that came by another way: a test, say.
_NONE = RunHooks()


def hooks_of(worker: Any) -> RunHooks:
    """The hooks of a worker; the same ones at each call."""
    found: RunHooks = vars(worker).setdefault(_MARK, RunHooks())
    return found


def hooks_for(message: Any) -> RunHooks:
    """The hooks of the worker that has received a message."""
    found: RunHooks = getattr(message, _MARK, _NONE)
    return found


def mark_received(strategy: Callable[..., Any], consumer: Any) -> Callable[..., Any]:
    """Mark each message with the consumer's worker before ``strategy`` makes a request of it."""
    hooks = hooks_of(consumer.controller)

    def receive(message: Any, *args: Any, **options: Any) -> Any:
        setattr(message, _MARK, hooks)
        return strategy(message, *args, **options)

    return receive


def leave_unknown_runs(worker: Any, is_run: Callable[[str, str, int, bool], bool]) -> None:
    """Ask before the worker's consumer fails a message whose task it does not know.

    Celery would store FAILURE for it, over a run that another worker resumes.

    Args:
        worker: a worker that has not started to consume.
        is_run: gets task, id, generation and whether it was redelivered; returns whether the
            message belongs to a run, which is then left to other workers.
    """
    consumer = worker.consumer
    theirs = consumer.on_unknown_task

    def on_unknown_task(body: Any, message: Any, exc: Exception) -> None:
        task, task_id = task_and_id(worker.app, message)
        redelivered = bool((message.delivery_info or {}).get("redelivered"))
        may_be = bool(task_id) and (redelivered or GENERATION in message.headers)
        if may_be and is_run(task, task_id, generation_of(message.headers), redelivered):
            message.ack_log_error(logger, consumer.connection_errors)
        else:
            theirs(body, message, exc)

    consumer.on_unknown_task = on_unknown_task

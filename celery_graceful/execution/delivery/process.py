"""What a process that runs iterable tasks needs once: hooks around Celery's task life."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery import signals as celery_signals
from celery import states

from celery_graceful import signals
from celery_graceful._celery.pool.children import is_ending
from celery_graceful._celery.task.delivery import delivery_of
from celery_graceful.errors import StoreError
from celery_graceful.execution.ending import late_ends
from celery_graceful.execution.leaving import late_checkpoints
from celery_graceful.execution.owned import owned_run
from celery_graceful.execution.results.state_writer import close_writer
from celery_graceful.execution.stopping import guard
from celery_graceful.forks import after_fork
from celery_graceful.model.run.record import Outcome
from celery_graceful.runs.admit import Admission
from celery_graceful.runs.ticket import Ticket
from celery_graceful.runtime import close_stores

if TYPE_CHECKING:
    from celery_graceful.execution.run_task import RunTask

logger = logging.getLogger("celery_graceful.runs")

_prepared = False
_warned: set[str] = set()


def prepare() -> None:
    """Connect the hooks, once per process. Spawned children have no other place for it."""
    global _prepared
    if _prepared:
        return
    _prepared = True
    celery_signals.task_postrun.connect(_close_run, weak=False, dispatch_uid="graceful-close-run")
    celery_signals.worker_process_shutdown.connect(
        _close, weak=False, dispatch_uid="graceful-close-stores"
    )
    celery_signals.worker_shutdown.connect(  # on pools whose tasks run in the main process
        _close_main, weak=False, dispatch_uid="graceful-close-main"
    )
    guard.install()


def _close_run(
    sender: Any = None,
    task: Any = None,
    state: str | None = None,
    retval: Any = None,
    **_: Any,
) -> None:
    """Celery has stored the outcome and fired the callbacks: the run has ended."""
    run = owned_run(task.request)
    if run is None:
        _end_unexecuted(task, state, retval)
        return
    if state is None and run.error is not None and not is_ending():
        state = states.FAILURE  # it is stored; ``on_failure`` or the like raised no Exception
    if state not in (states.SUCCESS, states.FAILURE):
        return
    completed = state == states.SUCCESS
    try:
        late_ends.close(run, Outcome.COMPLETED if completed else Outcome.FAILED)
    except StoreError as exc:
        logger.error("%s is done, but the store does not know: %s", run.key, exc)
    details = run.execution.details
    if completed:
        signals.emit(signals.run_completed, task, **details, result=run.outcome)
    else:
        signals.emit(signals.run_failed, task, **details, exception=run.error or retval)


def _end_unexecuted(task: Any, state: str | None, retval: Any) -> None:
    """Have the run agree with what Celery has stored, and does with the message.

    Args:
        task: the task, within its execution.
        state: the execution's state, as ``task_postrun`` gets it.
        retval: what it returned or raised.
    """
    delivery = delivery_of(task.request)
    admission = None if delivery is None else delivery.answer
    if not isinstance(admission, Admission) or admission.ticket is None:
        return
    try:
        _end_run(admission.ticket, state, retval)
    except StoreError as exc:
        logger.error(
            "%s was %s without being executed, and the store does not know: %s",
            admission.ticket.run,
            state,
            exc,
        )


def _end_run(ticket: Ticket, state: str | None, retval: Any) -> None:
    requeued = state == states.REJECTED and getattr(retval, "requeue", False)
    if requeued or state == states.RETRY:  # the message comes again, as it is
        record = ticket.record
        ticket.hand_over(record.checkpoint, record.steps, str(state).lower(), successor=False)
    elif state in (states.SUCCESS, states.IGNORED):
        ticket.end(Outcome.COMPLETED)
    elif state in (states.FAILURE, states.REJECTED):
        ticket.end(Outcome.FAILED)


def _close(**_: Any) -> None:
    _close_main()
    close_stores()


def _close_main(**_: Any) -> None:
    late_ends.wait_for_all()
    late_checkpoints.wait_for_all()
    close_writer()


@after_fork
def _begin_anew() -> None:
    global _prepared
    _prepared = False


def warn_without_plugin(task: RunTask) -> None:
    """Say once per task that it cannot be interrupted here."""
    if task.name in _warned:
        return
    _warned.add(task.name)
    logger.warning(
        "%s runs to its end and cannot be interrupted: this worker's app has no Graceful(app). "
        "Create it beside the app, or pass the app to Graceful().init_app.",
        task.name,
    )

"""A run as plain values: what is known of it at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from celery_graceful._celery.message.envelope import Envelope, unpack
from celery_graceful._celery.message.shown_call import ShownCall, shown_call
from celery_graceful.errors import CorruptRecord, CursorError
from celery_graceful.model import run_progress
from celery_graceful.model.run.cursor import Checkpoint, decode
from celery_graceful.model.run.executions import executions_of
from celery_graceful.model.run.history import (
    Action,
    PastExecution,
    RunError,
    actions,
    error,
    readable,
)
from celery_graceful.model.run.record import Outcome, Record, Request, RunKey, State
from celery_graceful.model.run.verbs import public_state
from celery_graceful.model.run_options import RunOptions, readable_options
from celery_graceful.runtime import Runtime
from celery_graceful.stop.hold import queue_of_delivery
from celery_graceful.text.counting import counted

T = TypeVar("T")

_PENDING = (State.INTERRUPTED, State.RETRYING)
_OUTCOMES = tuple(map(str, Outcome))
_NO_CALL = ShownCall()


@dataclass(frozen=True, slots=True)
class Run:
    """One run. Moments are Unix seconds; ``now``, ``until`` and ``ended_at`` by the store's clock.

    What is not known, or does not apply, is ``None``.
    """

    task: str
    id: str
    #: ``queued``, ``running``, ``interrupted``, ``retrying``, ``paused``, ``finishing``,
    #: ``completed``, ``failed`` or ``cancelled``.
    state: str
    #: What an operator has asked of a running one: ``pause`` or ``cancel``.
    requested: str | None
    #: Why its last execution stopped.
    reason: str | None
    #: Items done, and how many there are.
    steps: int
    total: int | None
    #: Done up to and including this; any value that a cursor may have.
    cursor: Any
    carry: dict[str, Any] | None
    #: Why cursor and carry cannot be read, if they cannot.
    unreadable: str | None
    #: Items quarantined since it began.
    quarantined: int
    #: Where its messages go; unknown once it has completed.
    queue: str | None
    #: Which worker owns it, ``None`` for nobody.
    worker: str | None
    generation: int
    #: How many times it was resumed.
    resumptions: int
    #: Crashes in a row without progress, and how the last execution was lost.
    crashes: int
    last_crash: str | None
    #: How many times its message was sent again, and why no worker can accept it.
    republished: int
    unroutable: str | None
    #: Its worker did not renew the lease, or no worker admitted its message in time.
    overdue: bool
    #: It waits for a message that should have arrived long ago: a purge, or a long queue.
    orphaned: bool
    started_at: float | None
    ended_at: float | None
    #: When its lease ends, or its message is sent again.
    until: float | None
    #: When all this was read.
    now: float
    #: The key under which it was started once.
    once: str | None = None
    #: It pauses itself after so many items; it ends after so many.
    pause_after: int | None = None
    limit: int | None = None
    #: Its items are to change nothing.
    dry_run: bool = False
    #: Seconds that its executions have worked; unknown while one is under way.
    seconds: float | None = None
    #: What it was called with, with ``graceful_mask`` applied: lists, objects, texts and numbers of
    #: JSON, shortened where they are long; or a text, as its sender wants them shown.
    args: Any = None
    kwargs: Any = None
    #: Who started it, else the process that sent it.
    sent_by: str | None = None
    #: The priority of its messages.
    priority: int | None = None
    #: Items per second of work, since it began and over the last minute.
    rate: float | None = None
    rate_now: float | None = None
    #: Seconds until it is done at this rate, and how much is.
    time_left: float | None = None
    percent: float | None = None
    #: When its checkpoint was saved.
    checkpoint_at: float | None = None
    #: Its last 50 executions, the one under way included; the first first.
    executions: tuple[PastExecution, ...] = ()
    #: Its last error, also while it retries.
    error: RunError | None = None
    #: What operators did to it: the last 50 actions.
    actions: tuple[Action, ...] = ()
    #: Words to find it by, as given at its start.
    tags: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether it is completed, failed or cancelled."""
        return self.state in _OUTCOMES

    def __str__(self) -> str:
        """``task[id]``, as in the logs."""
        return f"{self.task}[{self.id}]"


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a listing. Iterating over it gives its items."""

    items: tuple[T, ...]
    #: What to give as ``after`` for the next page; ``None``: this is the last one.
    next: str | None = None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def run_of(runtime: Runtime, key: RunKey, record: Record, now: float) -> Run:
    """The run of a record that was read at ``now``."""
    checkpoint, unreadable = _checkpoint(record)
    overdue = record.live and record.due_at is not None and record.due_at <= now
    pending = record.state in _PENDING
    options = readable_options(record.options)
    total = checkpoint.total if checkpoint else None
    executions = executions_of(record)
    rate = _rate(record, executions, checkpoint)
    now_rate = run_progress.rate_now(checkpoint, record.steps, now)
    message, call = _message(record), _NO_CALL
    if message is not None:
        call = shown_call(runtime.app, key.task, message, runtime.settings.mask)
    return Run(
        task=key.task,
        id=key.id,
        state=public_state(record),
        requested=_requested(record),
        reason=_reason(record, options) or None,
        steps=record.steps,
        total=total,
        cursor=checkpoint.cursor if checkpoint else None,
        carry=checkpoint.carry if checkpoint else None,
        unreadable=unreadable,
        quarantined=checkpoint.errors if checkpoint else 0,
        queue=None if message is None else _queue(runtime, message),
        worker=record.owner,
        generation=record.generation,
        resumptions=max(0, record.resumptions),
        crashes=record.crashes_without_progress,
        last_crash=record.last_crash or None,
        republished=record.republished,
        unroutable=record.unroutable or None,
        overdue=overdue,
        orphaned=pending and (overdue or record.republished > 0),
        started_at=record.started_at or None,
        ended_at=None if record.live else record.end,
        until=record.due_at,
        now=now,
        once=options.once or None,
        pause_after=options.pause_after or None,
        limit=options.limit or None,
        dry_run=options.dry_run,
        seconds=_seconds(record),
        args=call.args,
        kwargs=call.kwargs,
        sent_by=options.by or call.sent_by,
        priority=call.priority,
        rate=rate,
        rate_now=now_rate if record.owner is not None else None,
        time_left=run_progress.time_left(record.steps, total, now_rate or rate)
        if record.live
        else None,
        percent=run_progress.percent_of(record.steps, total),
        checkpoint_at=_checkpoint_at(record, checkpoint, executions),
        executions=executions,
        error=readable(error, record.error, None),
        actions=readable(actions, record.actions, ()),
        tags=options.tags,
    )


def _rate(
    record: Record, executions: tuple[PastExecution, ...], checkpoint: Checkpoint | None
) -> float | None:
    """Items per second of work since the run began; while it runs, until its checkpoint."""
    at = None if checkpoint is None else checkpoint.at
    seconds = run_progress.worked(executions, record.seconds, at or None)
    return record.steps / seconds if seconds and record.steps else None


def _checkpoint_at(
    record: Record, checkpoint: Checkpoint | None, executions: tuple[PastExecution, ...]
) -> float | None:
    """When its checkpoint was saved: while it runs, else when its last execution ended."""
    if checkpoint is None:
        return None
    if checkpoint.at:
        return checkpoint.at
    ends = [each.ended for each in executions if each.ended is not None]
    return ends[-1] if ends else record.end


def _requested(record: Record) -> str | None:
    """What an operator wants to become of it."""
    if record.requested is None or record.requested is Request.ADJUST:
        return None
    return str(record.requested)


def _reason(record: Record, options: RunOptions) -> str:
    """Why its last execution stopped: its limit may have been reached."""
    if record.outcome is Outcome.COMPLETED and 0 < options.limit <= record.steps:
        return f"ended after {counted(options.limit, 'item')}, its limit"
    return record.reason


def _seconds(record: Record) -> float | None:
    """How long its executions have worked; unknown while one is under way."""
    if record.owner is not None:
        return None
    if record.seconds:
        return record.seconds
    if record.end is None or record.resumptions > 0 or not record.started_at:
        return None
    return max(0.0, record.end - record.started_at)


def queue_of(runtime: Runtime, record: Record) -> str | None:
    """The queue that a run's messages go to; ``None``: its message is gone or cannot be read."""
    message = _message(record)
    return None if message is None else _queue(runtime, message)


def _queue(runtime: Runtime, message: Envelope) -> str:
    delivery = {"exchange": message.exchange, "routing_key": message.routing_key}
    return queue_of_delivery(runtime.app, delivery)


def _message(record: Record) -> Envelope | None:
    """What is sent for the run; ``None``: it is gone or cannot be read."""
    if not record.envelope:
        return None
    try:
        return unpack(record.envelope)
    except CorruptRecord:
        return None


def _checkpoint(record: Record) -> tuple[Checkpoint | None, str | None]:
    if record.checkpoint is None:
        return None, None
    try:
        return decode(record.checkpoint), None
    except CursorError as exc:
        return None, str(exc)

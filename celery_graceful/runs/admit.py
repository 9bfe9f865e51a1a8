"""Admission: may this message continue its run?"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from celery_graceful._celery.message.envelope import capture, pack, unpack
from celery_graceful._celery.message.headers import (
    CHECKPOINT,
    LEFT_OUT,
    RECEIVED,
    STARTED_WITH,
    TAGS,
    WAITED,
    generation_of,
    trace_of,
    uptime,
)
from celery_graceful.errors import CorruptRecord, NotResumable
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import RunKey
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.model.run_options import checked_tags, read_options
from celery_graceful.runs.lost.left_messages import left_with
from celery_graceful.runs.lost.vanished import fresh_fence, warn_begun
from celery_graceful.runs.operating.deletions import was_deleted
from celery_graceful.runs.ticket import Ticket
from celery_graceful.runs.transition import Patience, Transition, transition
from celery_graceful.runtime import Runtime

logger = logging.getLogger("celery_graceful.runs")


class Admission(NamedTuple):
    """The answer to a message: a verdict and, unless it is dropped, the right to run it."""

    verdict: Verdict
    why: str
    ticket: Ticket | None = None


def admit(
    runtime: Runtime,
    task: str,
    request: Any,
    worker: str,
    *,
    max_crashes: int | None = None,
    patience: Patience | None = None,
) -> Admission:
    """Ask the store whether the message behind ``request`` may continue its run.

    Args:
        task: the task's name.
        request: the task's request (``self.request``).
        worker: the name of the worker, whose main process renews the lease.
        max_crashes: the task's own option, ``None`` for the setting.
        patience: how long to retry while the store does not answer; ``None``: as long as a lease.

    Raises:
        NotResumable: no message can be made of the request.
        StoreUnavailable: the store did not answer in time.
        NewerRecord: a later version of this package wrote the run's record.
        CorruptRecord: the run's record cannot be read.
        StoreError: the store refused.
    """
    run = RunKey(task, request.id)
    envelope = capture(request, runtime.broker)
    if envelope is None:
        raise NotResumable(
            f"{run} came without a message that could be published again after an interruption. "
            "Leave the task's Request as IterableTask sets it, and send it with a serializer that "
            "this worker can write"
        )
    now = time.time()
    left = left_with(request)
    message = ev.Admit(
        generation=generation_of(request),
        owner=worker,
        redelivered=_may_be_a_copy(request),
        checkpoint=_checkpoint_of(request),
        envelope=pack(envelope),
        at=now,
        waited=_waited(request),
        fresh_fence=fresh_fence(now),
        left_out=request.get(LEFT_OUT) is not None,
        left=None if left is None else left.fence,
        steps=0 if left is None else left.steps,
        options=_options_of(run, request),
        process=os.getpid(),
        trace=trace_of(request),
    )
    policy = runtime.policy_for(max_crashes)
    # A first delivery nearly always finds no record: guess so, and save a round trip.
    guess = message.generation == 0 and not message.redelivered
    if patience is None:
        patience = runtime.settings.lease_ttl
    ask = partial(
        transition,
        runtime.store,
        run,
        policy=policy,
        patience=patience,
        observers=runtime.observers,
        who=worker,
    )
    # One that may not be the first is dropped where there is no record, unless nobody deleted that.
    done = ask(replace(message, deleted=not guess), guess=guess)
    if not guess and done.record is None and not was_deleted(runtime, run, patience):
        done = ask(message, guess=True)
    if _beyond_rescue(runtime, done):
        message = replace(message, takes_over=True)
        done = ask(message)
    verdict = done.decision.verdict
    if verdict is Verdict.DROP or done.record is None:
        return Admission(Verdict.DROP, done.decision.why)
    ticket = Ticket(runtime, run, done.record, worker)
    if message.generation and done.record.version == message.fresh_fence:
        warn_begun(run, done.record)
    return Admission(verdict, done.decision.why, ticket)


def _may_be_a_copy(request: Any) -> bool:
    """Whether there may be another delivery: redelivered by the broker, or parked."""
    info = request.delivery_info or {}
    return bool(info.get("redelivered") or request.get(WAITED))


def _beyond_rescue(runtime: Runtime, done: Transition) -> bool:
    """Whether the message was dropped in favour of an owner that no worker here can rescue."""
    record = done.record
    if done.decision.verdict is not Verdict.DROP or record is None or record.owner is None:
        return False
    try:
        return unpack(record.envelope).broker != runtime.broker
    except CorruptRecord:
        return True


def _waited(request: Any) -> float:
    """Seconds since this worker received the message."""
    received = (request.properties or {}).get(RECEIVED)
    return max(0.0, uptime() - received) if isinstance(received, float) else 0.0


def _options_of(run: RunKey, request: Any) -> str:
    """What the run was asked at its start; empty where a stranger has written something else."""
    text, tags = request.get(STARTED_WITH), request.get(TAGS)
    if not text and not tags:
        return ""
    header = STARTED_WITH
    try:
        options = read_options(text or "")
        if not tags:
            return str(text)
        header = TAGS
        return replace(options, tags=checked_tags((*options.tags, *checked_tags(tags)))).text()
    except ValueError as exc:
        logger.warning("%s: its header %s is ignored: %s", run, header, exc)
        return str(text) if text and header == TAGS else ""


def _checkpoint_of(request: Any) -> str | None:
    """The checkpoint in the message. An invalid one is reported when an execution reads it."""
    checkpoint = request.get(CHECKPOINT)
    return checkpoint if checkpoint is None or isinstance(checkpoint, str) else repr(checkpoint)

"""Starting a run: known to the store before its message is sent, so that it cannot be lost."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, replace
from enum import Enum

from kombu.exceptions import EncodeError, OperationalError

from celery_graceful._celery.message.envelope import Envelope, pack
from celery_graceful._celery.message.headers import GENERATION, STARTED_WITH
from celery_graceful._celery.message.publish import send_watched
from celery_graceful.errors import CursorError, NotSent, StartRefused, StoreError
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.cursor import decode
from celery_graceful.model.run.record import Outcome, Record, RunKey
from celery_graceful.model.run.verbs import Verb
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.runs.lookup import Found
from celery_graceful.runs.lost.vanished import fresh_fence
from celery_graceful.runs.oneoff.once import (
    Claim,
    digest_of,
    find_ended,
    note_end,
    read_claim,
    write_claim,
)
from celery_graceful.runs.oneoff.start_order import Order
from celery_graceful.runs.operating import changes
from celery_graceful.runs.plain_run import Run, run_of
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime
from celery_graceful.text.counting import counted
from celery_graceful.text.masking import mask_text

#: The generation of a run's first message.
FIRST = 1
_ROUNDS = 20
#: What such a run shows as the reason for its end.
REASON = "ran eagerly: task_always_eager"


class How(str, Enum):
    """What became of a start."""

    STARTED = "started"
    #: A run of this key is under way.
    JOINED = "joined"
    #: A run of this key has completed before.
    COMPLETED = "completed"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Started:
    """What became of a start."""

    run: Run
    how: How
    #: What a person should know; empty: nothing.
    note: str = ""


class _Taken(Exception):
    """Another start has begun this very run."""


def start(runtime: Runtime, order: Order) -> Started:
    """Start a run; with a key, unless a run of it is under way or has completed.

    Raises:
        StartRefused: the key belongs to a run of another task, or the arguments do not fit.
        NotSent: the run is started, and the broker did not accept its message yet; a worker sends
            it again.
        StoreUnavailable: the store did not answer; nothing was sent.
    """
    if not order.options.once:
        return _start(runtime, order, _new_key(order))
    for _ in range(_ROUNDS):
        done = _try_once(runtime, order)
        if done is not None:
            return done
    raise StoreError(
        f"gave up on the key {order.options.once!r} after {_ROUNDS} conflicting writes"
    )


def _new_key(order: Order) -> RunKey:
    return RunKey(order.task.name, order.id or str(uuid.uuid4()))


def _start(runtime: Runtime, order: Order, run: RunKey) -> Started:
    """Start this very run, unless it was started before."""
    try:
        return Started(_send(runtime, order, run), How.STARTED)
    except _Taken:
        at = runtime.store.load(run)
        if at.record is None:  # deleted at this very moment
            raise StoreError(f"{run} was started before, and is no longer known") from None
        return Started(run_of(runtime, run, at.record, at.now), How.JOINED)


def _try_once(runtime: Runtime, order: Order) -> Started | None:
    """One round; ``None``: another start was quicker somewhere, so look again."""
    store, key = runtime.store, order.options.once
    claim, note = read_claim(store, key), ""
    fresh = Claim(_new_key(order), digest_of(order.args, order.kwargs))
    if claim is None:
        claim = fresh
        if not write_claim(store, key, claim):
            return None
    else:
        found = _found(runtime, order, claim)
        if found is not None and claim.run.id == order.id:
            return Started(run_of(runtime, *found), How.JOINED)
        if found is not None and not _may_start_again(found.record):
            return _there_already(runtime, order, claim, found)
        if found is not None:
            note = _earlier(found)
            claim = replace(fresh, version=claim.version)
            if not write_claim(store, key, claim):
                return None
    try:
        return Started(_send(runtime, order, claim.run), How.STARTED, note)
    except _Taken:
        return None


def _found(runtime: Runtime, order: Order, claim: Claim) -> Found | None:
    """The run that has the key; none if its starter died, or if it failed long ago."""
    if claim.run.task not in (order.task.name, *order.task.former_names):
        raise StartRefused(
            f"the key {order.options.once!r} is that of a run of {claim.run.task}, and not of"
            f" {order.task.name}. Take another key."
        )
    at = runtime.store.load(claim.run)
    if at.record is not None:
        return Found(claim.run, at.record, at.now)
    return next(map(Found._make, find_ended(claim, order.options.once)), None)


def _may_start_again(record: Record) -> bool:
    return record.outcome in (Outcome.FAILED, Outcome.CANCELLED) and not record.live


def _earlier(found: Found) -> str:
    run, record, _ = found
    where = "no cursor is known" if record.checkpoint is None else f"cursor {_cursor(record)}"
    return (
        f"{run} {record.outcome} after {counted(record.steps, 'item')} ({where}); the new run"
        " begins at the beginning, or behind the cursor that is given"
    )


def _cursor(record: Record) -> str:
    try:
        return f"{decode(record.checkpoint or '').cursor!r:.200}"
    except CursorError:
        return "that cannot be read"


def _there_already(runtime: Runtime, order: Order, claim: Claim, found: Found) -> Started:
    note = ""
    if claim.digest != digest_of(order.args, order.kwargs):
        note = (
            f"the run of the key {order.options.once!r} was started with other arguments;"
            " these ones are not used. Take another key for them"
        )
    if not found.record.live:
        return Started(run_of(runtime, *found), How.COMPLETED, note)
    if found.record.queued and found.record.due_at is not None and found.record.due_at <= found.now:
        # Its starter may have died before it sent the message; of two messages, one is dropped.
        asked = changes.Asked(Verb.RESEND, order.options.by, "started again")
        changes.apply(runtime, found, asked)
    return Started(run_of(runtime, *found), How.JOINED, note)


def _send(runtime: Runtime, order: Order, run: RunKey) -> Run:
    """Send the run's first message as ``apply_async`` does, once the store knows of the run."""
    known: list[Record] = []
    if runtime.app.conf.task_always_eager:
        known.append(_begin(runtime, order, run, b""))
        run_eagerly(runtime, order, run)
    else:
        _send_message(runtime, order, run, known)
    at = runtime.store.load(run)
    return run_of(runtime, run, at.record or known[0], at.now)


def _begin(runtime: Runtime, order: Order, run: RunKey, envelope: bytes) -> Record:
    """Have the store know of the run."""
    now = time.time()
    done = transition(
        runtime.store,
        run,
        ev.Enqueue(envelope, order.options.text(), fresh_fence(now), now),
        runtime.policy,
        guess=True,
        observers=runtime.observers,
        who=order.options.by,
    )
    if done.decision.verdict is not Verdict.PUBLISH or done.record is None:
        raise _Taken
    return done.record


def _send_message(runtime: Runtime, order: Order, run: RunKey, known: list[Record]) -> None:
    def begin(envelope: Envelope) -> None:
        known.append(_begin(runtime, order, run, pack(envelope)))

    sent = {"queue": order.queue, "priority": order.priority}
    try:
        send_watched(
            order.task,
            order.args,
            order.kwargs,
            broker=runtime.broker,
            seen=begin,
            task_id=run.id,
            headers={GENERATION: FIRST, STARTED_WITH: order.options.text()},
            **{name: value for name, value in sent.items() if value is not None},
        )
    except (OperationalError, OSError) as exc:
        if not known:
            raise
        raise NotSent(
            f"{run} is started, and the broker {runtime.broker} did not accept its message:"
            f" {mask_text(str(exc)).rstrip('.')}."
            f" A worker sends it again within {2 * runtime.settings.lease_ttl:g} s;"
            " do not start it again."
        ) from exc
    except (TypeError, EncodeError) as exc:
        if known:
            raise
        raise StartRefused(f"{order.task.name} cannot take these arguments: {exc}") from exc


def run_eagerly(runtime: Runtime, order: Order, run: RunKey) -> None:
    """Run it here, to its end or its limit, and have the store know of that.

    Raises:
        Exception: what the task raises, with ``task_eager_propagates``.
    """
    options, kwargs = order.options, dict(order.kwargs)
    if options.cursor:
        kwargs["cursor"] = decode(options.cursor).cursor
    outcome = Outcome.FAILED
    try:
        result = order.task.apply(
            order.args,
            kwargs,
            task_id=run.id,
            headers={STARTED_WITH: options.text()},
            throw=bool(runtime.app.conf.task_eager_propagates),
        )
        outcome = Outcome.COMPLETED if result.successful() else Outcome.FAILED
    finally:
        done = transition(
            runtime.store,
            run,
            ev.Kill(outcome, REASON),
            runtime.policy,
            observers=runtime.observers,
            who=options.by,
        )
        if done.record is not None:
            note_end(runtime.store, run, done.record, outcome, None)

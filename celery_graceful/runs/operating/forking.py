"""A new run of a run's task, with the same arguments, from its checkpoint or a cursor."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from celery_graceful._celery.message.bodies import on_its_own
from celery_graceful._celery.message.envelope import pack, unpack
from celery_graceful._celery.message.headers import GENERATION, STARTED_WITH
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import RunKey
from celery_graceful.model.run.verbs import Verb
from celery_graceful.model.run_options import RunOptions, readable_options
from celery_graceful.runs.lookup import Found
from celery_graceful.runs.lost.vanished import fresh_fence
from celery_graceful.runs.operating.changes import Asked, Change, check, check_broker, publish
from celery_graceful.runs.operating.rewinding import UNCHANGED, like, saved_checkpoint, version_of
from celery_graceful.runs.plain_run import run_of
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime

_FIRST = 1


def fork(
    runtime: Runtime,
    found: Found,
    asked: Asked,
    *,
    cursor: Any = UNCHANGED,
    carry: Any = UNCHANGED,
) -> Change:
    """Start the new run; its id is ``sent``.

    It calls nobody back, and belongs to no chain, group or chord.

    Raises:
        RunRefused: the run has completed, or its message cannot be sent from here.
        CursorError: cursor or carry cannot be kept.
        NotSent: it is started, but the broker did not accept its message; a worker retries.
    """
    rule = check(found, asked)
    check_broker(runtime, found.key, found.record)
    options, checkpoint = _beginning(runtime, found, asked, cursor, carry)
    headers = {GENERATION: _FIRST, STARTED_WITH: options.text()}
    own = unpack(found.record.envelope)
    message = on_its_own(runtime.app, own, headers, without="cursor")
    key, now = RunKey(found.key.task, str(message.headers["id"])), time.time()
    done = transition(
        runtime.store,
        key,
        ev.Enqueue(
            pack(message),
            options.text(),
            fresh_fence(now),
            now,
            checkpoint=None if checkpoint is None else encode(checkpoint),
            steps=0 if checkpoint is None else checkpoint.steps,
            paused_at=found.record.paused_at if checkpoint is not None else 0,
            by=replace(asked.action(), change=f"forked from {found.key.id}"),
        ),
        runtime.policy,
        guess=True,
        observers=runtime.observers,
        who=asked.who,
    )
    assert done.record is not None
    publish(runtime, key, done.record, asked.who)
    begun = run_of(runtime, *found)
    return Change(
        begun,
        begun,
        done.decision.verdict,
        f"forked as {key}",
        undo=Verb.CANCEL if rule.undo else None,
        sent=key.id,
        note="" if not found.record.live else f"{found.key} continues beside it",
    )


def _beginning(
    runtime: Runtime, found: Found, asked: Asked, cursor: Any, carry: Any
) -> tuple[RunOptions, Checkpoint | None]:
    """The options of the new run, and the checkpoint it has already; ``None``: it begins."""
    saved = saved_checkpoint(found)
    kept = replace(readable_options(found.record.options), once="", keep=0.0, by=asked.who[:200])
    if carry is not UNCHANGED:
        saved = replace(saved, carry=carry)
    if cursor is not UNCHANGED:
        begin = Checkpoint(
            like(saved.cursor, cursor), saved.carry, version=version_of(runtime, found, saved)
        )
        return replace(kept, cursor="" if cursor is None else encode(begin)), None
    if found.record.checkpoint is None:
        return kept, None
    # Items in quarantine, and the tasks that it has started, are those of the other run.
    return kept, replace(saved, errors=0, children=())

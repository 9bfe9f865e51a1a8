"""From decision to record: decide, compare and set, and decide again if another was quicker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from celery_graceful.errors import StoreError, StoreUnavailable
from celery_graceful.model.decide import Decision, Policy, decide
from celery_graceful.model.events import Event
from celery_graceful.model.record import Record, RunKey
from celery_graceful.stores.base import Store

__all__ = ["Transition", "patiently", "transition"]

logger = logging.getLogger("celery_graceful.runs")

#: More rounds than this mean that something is wrong, not that many compete.
MAX_ROUNDS = 50

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Transition:
    """A decision that stands, and the record as it is now (``None``: there is none)."""

    decision: Decision
    record: Record | None


def transition(
    store: Store,
    run: RunKey,
    event: Event,
    policy: Policy,
    *,
    known: Record | None = None,
    guess: bool = False,
) -> Transition:
    """Apply an event to a run.

    Args:
        known: the record as last seen, to save a look-up.
        guess: take ``known`` (also ``None``: no record) for what stands there; a wrong guess costs
            nothing, the store answers with the truth.

    Raises:
        StoreUnavailable: the store did not answer; the event may or may not have been applied, and
            applying it again is safe.
    """
    record, now, guessed = known, 0.0, True
    if not guess:
        found = store.load(run)
        record, now, guessed = found.record, found.now, False
    tried: Decision | None = None
    for _ in range(MAX_ROUNDS):
        if tried is not None and _same(tried.record, record):
            return Transition(tried, record)  # an earlier answer was lost on its way
        decision = decide(record, event, now, policy)
        if decision.record is None:
            if not guessed:
                return Transition(decision, record)
            found = store.load(run)
            record, now, guessed = found.record, found.now, False
            continue
        tried = decision
        swapped = store.swap(
            run,
            record.version if record is not None else 0,
            decision.record,
            due_in=decision.due_in,
            keep=decision.keep,
        )
        if swapped.done:
            due_at = None if decision.due_in is None else swapped.now + decision.due_in
            stored = replace(decision.record, version=swapped.version, due_at=due_at)
            return Transition(decision, stored)
        record, now, guessed = swapped.record, swapped.now, False
    raise StoreError(f"gave up on {run} after {MAX_ROUNDS} conflicting writes for {event!r:.200}")


def _same(intended: Record | None, found: Record | None) -> bool:
    return (
        found is not None
        and intended is not None
        and intended == replace(found, version=intended.version, due_at=intended.due_at)
    )


def patiently(call: Callable[[], T], *, seconds: float, what: str) -> T:
    """Call until the store answers, for at most ``seconds``; then raise what it raised."""
    until = time.monotonic() + seconds
    pause, told = 0.05, False
    while True:
        try:
            return call()
        except StoreUnavailable as exc:
            if time.monotonic() + pause >= until:
                raise
            if not told:
                logger.warning("%s: the store does not answer, trying again: %s", what, exc)
                told = True
            time.sleep(pause)
            pause = min(pause * 2, 1.0)

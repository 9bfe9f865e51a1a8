"""From event to record: decide, compare and set, and decide again after a conflict."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar, Union

from celery_graceful.errors import StoreError, StoreUnavailable
from celery_graceful.model.run.decide import decide
from celery_graceful.model.run.events import Admit, End, Event
from celery_graceful.model.run.record import Record, RunKey, replace
from celery_graceful.model.run.verdict import Decision, Policy
from celery_graceful.runs.observers import Observed, Observer, notify
from celery_graceful.stores.base import Store, Swapped

logger = logging.getLogger("celery_graceful.runs")

#: More rounds than this mean that something is wrong, not that many compete.
MAX_ROUNDS = 50

T = TypeVar("T")

#: How long to retry while the store does not answer: seconds, or a function that says whether the
#: seconds waited are enough.
Patience = Union[float, Callable[[float], bool]]  # noqa: UP007 - evaluated on Python 3.10


class Transition(NamedTuple):
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
    patience: Patience = 0.0,
    observers: Sequence[Observer] = (),
    who: str = "",
) -> Transition:
    """Apply an event to a run, once, however often the store has to be asked.

    Args:
        known: the record as last seen, to save a look-up.
        guess: assume that ``known`` (also ``None``: no record) is current; the store corrects a
            wrong guess.
        patience: how long to retry while the store does not answer.
        observers: called with the change, if one is written.
        who: the worker or operator that makes the change.

    Raises:
        StoreUnavailable: the store did not answer; the event may or may not have been applied.
    """
    attempt = Attempt(store, run, event, policy, observers, who)
    done = patiently(lambda: attempt(known, guess), patience, what=str(run))
    if done.decision.keep is not None and not isinstance(event, End):
        keep_items(store, run, done.decision.keep)
    return done


def keep_items(store: Store, run: RunKey, keep: float) -> None:
    """A run has ended: its quarantined items are kept as long as its summary, and no longer.

    Tried once: nothing but their removal waits for it, and a stop must not.

    Whoever ends a run for its owner does so by :func:`transition`. The owner itself knows whether
    there may be any, and saves short runs a call to the store.
    """
    try:
        store.expire_quarantined(run, keep=keep)
    except StoreError as exc:  # the run has ended all the same
        logger.warning("%s: its quarantined items are kept longer than its summary: %s", run, exc)


class Attempt:
    """One event on its way into the store; called again, it knows what it wrote itself."""

    def __init__(
        self,
        store: Store,
        run: RunKey,
        event: Event,
        policy: Policy,
        observers: Sequence[Observer] = (),
        who: str = "",
    ) -> None:
        self.store = store
        self.run = run
        self.event = event
        self.policy = policy
        self.observers = observers
        self.who = who
        self.stamp = os.urandom(8).hex()
        #: What was last written, or might have been, and the record that it was to replace.
        self.tried: Decision | None = None
        self.replaced: Record | None = None
        self._made_at = time.monotonic()

    def __call__(self, known: Record | None, guess: bool) -> Transition:
        record, now = known, 0.0
        if self.tried is not None or not guess:
            (record, now), guess = self._look(), False
        for _ in range(MAX_ROUNDS):
            if self.tried is not None and record is not None and record.stamp == self.stamp:
                return self._done(self.tried, record)  # an earlier answer was lost on its way
            if record is None and self._has_forgotten:
                assert self.tried is not None
                assert self.tried.record is not None
                gone = self.tried.record
                return self._done(self.tried, replace(gone, version=gone.version + 1))
            decision = decide(record, self._as_of_now(), now, self.policy)
            if decision.record is None:
                if not guess:
                    return Transition(decision, record)
                (record, now), guess = self._look(), False
                continue
            kept_for = decision.keep or 0.0
            written = replace(decision.record, stamp=self.stamp, kept_for=kept_for, ended_at=None)
            swapped = self._swap(record, written, decision)
            if swapped.done:
                return self._done(decision, _stored(written, decision, swapped))
            record, now, guess = swapped.record, swapped.now, False
        raise StoreError(
            f"gave up on {self.run} after {MAX_ROUNDS} conflicting writes for {self.event!r:.200}"
        )

    @property
    def _has_forgotten(self) -> bool:
        """Whether the record was to be forgotten at once, by a write whose answer was lost."""
        return self.tried is not None and self.tried.keep == 0.0

    def _done(self, decision: Decision, record: Record) -> Transition:
        if self.observers:
            verdict, why, *_ = decision
            change = Observed(self.run, self.event, self.replaced, record, verdict, why, self.who)
            notify(self.observers, change)
        return Transition(decision, record)

    def _as_of_now(self) -> Event:
        event = self.event
        if isinstance(event, Admit) and event.waited:
            return dataclasses.replace(
                event, waited=event.waited + time.monotonic() - self._made_at
            )
        return event

    def _look(self) -> tuple[Record | None, float]:
        found = self.store.load(self.run)
        return found.record, found.now

    def _swap(self, record: Record | None, written: Record, decision: Decision) -> Swapped:
        self.tried, self.replaced = decision, record
        return self.store.swap(
            self.run,
            record.version if record is not None else 0,
            written,
            due_in=decision.due_in,
            keep=decision.keep,
        )


def _stored(written: Record, decision: Decision, swapped: Swapped) -> Record:
    """The record as the store has it now."""
    due_at = None if decision.due_in is None else swapped.now + decision.due_in
    ended_at = None if decision.keep is None else swapped.now
    return replace(written, version=swapped.version, due_at=due_at, ended_at=ended_at)


def patiently(call: Callable[[], T], patience: Patience, *, what: str) -> T:
    """Call until the store answers or patience ends; then raise what the store raised."""
    began_at = time.monotonic()
    pause, logged = 0.05, False
    while True:
        try:
            return call()
        except StoreUnavailable as exc:
            if _enough(patience, time.monotonic() + pause - began_at):
                raise
            if not logged:
                logger.warning("%s: the store does not answer, trying again: %s", what, exc)
                logged = True
            time.sleep(pause)
            pause = min(pause * 2, 1.0)


def _enough(patience: Patience, waited: float) -> bool:
    return patience(waited) if callable(patience) else waited >= patience

"""Waiting until a ``down`` is complete."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from kombu.exceptions import OperationalError

from celery_graceful.durations import format_seconds
from celery_graceful.errors import MaintenanceEnded, StoreUnavailable, WaitTimedOut
from celery_graceful.maintenance.barrier import BarrierState, WorkerState, judge
from celery_graceful.maintenance.broker_replies import (
    HEARTBEATS,
    LONG_QUIET,
    NOBODY,
    QUIET,
    BrokerReplies,
    ask_workers,
    with_heartbeats,
)
from celery_graceful.maintenance.mode_changes import Reading, read, tell_workers
from celery_graceful.maintenance.scopes import own_queues
from celery_graceful.maintenance.workers import heartbeat, known_workers, patience
from celery_graceful.model.maintenance.mode import Mode, Scope

if TYPE_CHECKING:
    from celery_graceful.runtime import Runtime

logger = logging.getLogger("celery_graceful.maintenance")

#: Seconds between two readings of the store.
LOOK_EVERY = 0.2
#: Seconds for which an answer over the broker counts.
REPLIES_COUNT_FOR = 2.0
#: Where answers take longer than this, in seconds, others may take longer still.
SLOW = 0.3
_NAMED = 20


def watch(
    runtime: Runtime, mode: Mode, scopes: Collection[Scope], timeout: float | None = None
) -> Iterator[BarrierState]:
    """Check the workers until each live one has paused what ``scopes`` hold.

    Ends when nothing is waited for any more; the last value is the state then.

    Args:
        mode: as it was when ``scopes`` were held.
        timeout: seconds; ``None``: as long as it takes.

    Raises:
        WaitTimedOut: the time is up; the message names what is still waited for.
        MaintenanceEnded: somebody has released one of ``scopes``, or it has ended by itself.
        StoreUnavailable: the store did not answer for a whole lease.
    """
    started = time.monotonic()
    barrier = Barrier(runtime, mode, scopes)
    while True:
        state = barrier.look()
        if state is not None:
            yield state
            if state.clear:
                return
        waited = time.monotonic() - started
        if timeout is not None and waited >= timeout:
            raise WaitTimedOut(_timed_out(state, waited))
        time.sleep(LOOK_EVERY if timeout is None else min(LOOK_EVERY, timeout - waited))


def look(runtime: Runtime, mode: Mode, replies: BrokerReplies) -> BarrierState:
    """What the workers do under a mode, by the store and what they answered over the broker."""
    return judge(
        mode,
        known_workers(runtime.store),
        replies,
        lease=patience(runtime.settings),
        heartbeat=heartbeat(runtime.settings),
        queues=own_queues(runtime),
        exempt=runtime.settings.maintenance_exempt_queues,
    )


class Barrier:
    """Checks the workers again and again; remembers what they answered over the broker.

    Args:
        mode: as it was when ``scopes`` were held.
        scopes: what is waited for.
    """

    def __init__(self, runtime: Runtime, mode: Mode, scopes: Collection[Scope]) -> None:
        self._runtime = runtime
        self._holds = tuple(hold for hold in mode.holds if hold.scope in scopes)
        # Others may hold more meanwhile; that is not waited for.
        self._mode = replace(mode, holds=self._holds)
        self._replies = NOBODY
        self._asked_at = float("-inf")
        self._quiet = 0.0
        self._slow = False
        self._store_seen = time.monotonic()

    @property
    def replies(self) -> BrokerReplies:
        """What workers answered over the broker, if they were asked."""
        return self._replies

    def look(self) -> BarrierState | None:
        """One look; ``None`` when the store did not answer.

        Where it is clear, nothing that is held runs: then workers were asked over the broker too,
        which takes a few seconds.

        Raises:
            MaintenanceEnded, StoreUnavailable: as :func:`watch`.
        """
        try:
            state = self._look()
        except StoreUnavailable:
            if time.monotonic() - self._store_seen > patience(self._runtime.settings):
                raise
            return None
        self._store_seen = time.monotonic()
        return state

    def _look(self) -> BarrierState:
        """From the store; then over the broker, for longer, where silence would count as proof."""
        self._check_still_held(read(self._runtime))
        state = look(self._runtime, self._mode, self._replies)
        if self._has_to_ask(state):
            state = self._ask(QUIET)
        if state.clear and self._may_have_missed(state):
            state = self._ask(LONG_QUIET)
        if state.clear and state.in_state(WorkerState.GONE) and self._replies.beating is None:
            state = self._listen()
        return state

    def _ask(self, quiet: float) -> BarrierState:
        known = known_workers(self._runtime.store)
        began = time.monotonic()
        self._replies = ask_workers(self._runtime, known, self._replies, quiet=quiet)
        self._asked_at, self._quiet = time.monotonic(), quiet
        self._slow = self._asked_at - began > quiet + SLOW
        reading = read(self._runtime)
        self._check_still_held(reading)
        self._tell_late_workers(reading.mode)
        return look(self._runtime, self._mode, self._replies)

    def _tell_late_workers(self, mode: Mode) -> None:
        """Workers that answer and do not reach the store learn of the mode in no other way."""
        late = [r.hostname for r in self._replies.reports if r.version < mode.version]
        if late:
            try:
                tell_workers(self._runtime, mode, late)
            except OperationalError as exc:
                logger.debug("%s could not be notified: %s", late, exc)  # and is waited for

    def _listen(self) -> BarrierState:
        self._replies = with_heartbeats(self._runtime, self._replies, HEARTBEATS)
        self._check_still_held(read(self._runtime))
        return look(self._runtime, self._mode, self._replies)

    def _may_have_missed(self, state: BarrierState) -> bool:
        """Whether it is too early to take silence as proof that no other worker is there.

        Where all known workers have answered at once, there is no wait for slower ones.
        """
        if self._quiet >= LONG_QUIET or self._replies.trouble:
            return False
        answered = self._replies.consuming.keys()
        silent = [worker for worker in state.workers if worker.hostname not in answered]
        return self._slow or not answered or bool(silent)

    def _has_to_ask(self, state: BarrierState) -> bool:
        if time.monotonic() - self._asked_at < REPLIES_COUNT_FOR:
            return False
        doubtful = any(w.state in (WorkerState.CUT_OFF, WorkerState.GONE) for w in state.workers)
        return self._replies is NOBODY or state.clear or doubtful

    def _check_still_held(self, reading: Reading) -> None:
        for hold in self._holds:
            now = reading.mode.hold_of(hold.scope)
            if now is None or now.since != hold.since:
                raise MaintenanceEnded(_ended(reading.mode, hold.scope))


def _ended(mode: Mode, scope: Scope) -> str:
    for entry in reversed(mode.log):
        if entry.verb == "up" and (scope in entry.scopes or not entry.scopes):
            return f"{entry.who} has released {scope} meanwhile: work resumes"
        if entry.verb == "ended" and scope in entry.scopes:
            return f"{scope} has ended by itself before all workers were paused: work resumes"
    return f"{scope} is no longer held: work resumes"


def _timed_out(state: BarrierState | None, waited: float) -> str:
    after = format_seconds(round(waited, 1))
    if state is None:
        return f"The store did not answer within {after}: it is unknown whether the workers paused"
    named = "\n".join(f"  {block}" for block in state.blocks[:_NAMED])
    left = len(state.blocks) - _NAMED
    more = f"\n  and {left} more" if left > 0 else ""
    return f"Not paused after {after}:\n{named}{more}"

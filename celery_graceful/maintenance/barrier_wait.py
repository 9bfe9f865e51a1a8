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

#: Seconds between two looks at the store.
LOOK_EVERY = 0.2
#: Seconds for which an answer over the broker counts.
HEARD_FOR = 2.0
#: Where answers take longer than this, in seconds, others may take longer still.
SLOW = 0.3
_NAMED = 20


def wait(
    runtime: Runtime, mode: Mode, scopes: Collection[Scope], timeout: float | None = None
) -> BarrierState:
    """The state of the workers once :func:`watch` has ended."""
    *_, last = watch(runtime, mode, scopes, timeout)
    return last


def watch(
    runtime: Runtime, mode: Mode, scopes: Collection[Scope], timeout: float | None = None
) -> Iterator[BarrierState]:
    """Look at the workers until each one that lives has paused what ``scopes`` hold.

    Ends when nothing is waited for any more; the last value is how it stands then.

    Args:
        mode: as it was when ``scopes`` were lowered.
        timeout: seconds; ``None``: as long as it takes.

    Raises:
        WaitTimedOut: the time is over; the message names what is still waited for.
        MaintenanceEnded: somebody has lifted one of ``scopes``, or it has ended by itself.
        StoreUnavailable: the store did not answer for a whole lease.
    """
    started = time.monotonic()
    watched = _Watched(runtime, mode, scopes)
    while True:
        standing = watched.look()
        if standing is not None:
            yield standing
            if standing.clear:
                return
        waited = time.monotonic() - started
        if timeout is not None and waited >= timeout:
            raise WaitTimedOut(_timed_out(standing, waited))
        time.sleep(LOOK_EVERY if timeout is None else min(LOOK_EVERY, timeout - waited))


def look(runtime: Runtime, mode: Mode, heard: BrokerReplies) -> BarrierState:
    """How the workers stand to a mode now, by the store and what they answered over the broker."""
    return judge(
        mode,
        known_workers(runtime.store),
        heard,
        lease=patience(runtime.settings),
        heartbeat=heartbeat(runtime.settings),
        queues=own_queues(runtime),
        exempt=runtime.settings.maintenance_exempt_queues,
    )


class _Watched:
    """What is remembered from one look to the next."""

    def __init__(self, runtime: Runtime, mode: Mode, scopes: Collection[Scope]) -> None:
        self._runtime = runtime
        self._holds = tuple(hold for hold in mode.holds if hold.scope in scopes)
        # Others may hold more meanwhile; that is not waited for.
        self._mode = replace(mode, holds=self._holds)
        self._heard = NOBODY
        self._heard_at = float("-inf")
        self._quiet = 0.0
        self._slow = False
        self._store_seen = time.monotonic()

    def look(self) -> BarrierState | None:
        """One look; ``None`` when the store did not answer."""
        try:
            self._check(read(self._runtime))
            standing = look(self._runtime, self._mode, self._heard)
            if self._has_to_ask(standing):
                standing = self._ask(QUIET)
            if standing.clear and self._may_have_missed(standing):
                standing = self._ask(LONG_QUIET)
            if (
                standing.clear
                and standing.in_state(WorkerState.GONE)
                and self._heard.beating is None
            ):
                standing = self._listen()
        except StoreUnavailable:
            if time.monotonic() - self._store_seen > patience(self._runtime.settings):
                raise
            return None
        self._store_seen = time.monotonic()
        return standing

    def _ask(self, quiet: float) -> BarrierState:
        known = known_workers(self._runtime.store)
        began = time.monotonic()
        self._heard = ask_workers(self._runtime, known, self._heard, quiet=quiet)
        self._heard_at, self._quiet = time.monotonic(), quiet
        self._slow = self._heard_at - began > quiet + SLOW
        reading = read(self._runtime)
        self._check(reading)
        self._tell(reading.mode)
        return look(self._runtime, self._mode, self._heard)

    def _tell(self, mode: Mode) -> None:
        """Whoever answers and does not reach the store hears of the mode in no other way."""
        late = [report.hostname for report in self._heard.reports if report.version < mode.version]
        if late:
            try:
                tell_workers(self._runtime, mode, late)
            except OperationalError as exc:
                logger.debug("%s could not be told: %s", late, exc)  # and is waited for

    def _listen(self) -> BarrierState:
        self._heard = with_heartbeats(self._runtime, self._heard, HEARTBEATS)
        self._check(read(self._runtime))
        return look(self._runtime, self._mode, self._heard)

    def _may_have_missed(self, standing: BarrierState) -> bool:
        """Whether it is too early to take the silence of some as proof that nobody else is there.

        Where all that are known have answered at once, nobody waits for others to be slower.
        """
        if self._quiet >= LONG_QUIET or self._heard.trouble:
            return False
        answered = self._heard.consuming.keys()
        silent = [seen for seen in standing.workers if seen.hostname not in answered]
        return self._slow or not answered or bool(silent)

    def _has_to_ask(self, standing: BarrierState) -> bool:
        if time.monotonic() - self._heard_at < HEARD_FOR:
            return False
        doubtful = any(s.state in (WorkerState.CUT_OFF, WorkerState.GONE) for s in standing.workers)
        return self._heard is NOBODY or standing.clear or doubtful

    def _check(self, reading: Reading) -> None:
        for hold in self._holds:
            now = reading.mode.hold_of(hold.scope)
            if now is None or now.since != hold.since:
                raise MaintenanceEnded(_ended(reading.mode, hold.scope))


def _ended(mode: Mode, scope: Scope) -> str:
    for deed in reversed(mode.log):
        if deed.verb == "up" and (scope in deed.scopes or not deed.scopes):
            return f"{deed.who} has lifted {scope} meanwhile: work goes on"
        if deed.verb == "ended" and scope in deed.scopes:
            return f"{scope} has ended by itself before all workers were paused: work goes on"
    return f"{scope} is no longer held: work goes on"


def _timed_out(standing: BarrierState | None, waited: float) -> str:
    after = format_seconds(round(waited, 1))
    if standing is None:
        return f"The store did not answer within {after}: nobody knows whether the workers paused"
    blocks = standing.blocks
    named = "\n".join(f"  {block}" for block in blocks[:_NAMED])
    more = f"\n  and {len(blocks) - _NAMED} more" if len(blocks) > _NAMED else ""
    return f"Not paused after {after}:\n{named}{more}"

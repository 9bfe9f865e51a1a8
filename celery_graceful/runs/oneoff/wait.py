"""Waiting for a run: until it has ended or is paused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from celery_graceful.durations import format_seconds
from celery_graceful.errors import RunVanished, StoreUnavailable, WaitTimedOut
from celery_graceful.model.run.record import State
from celery_graceful.runs import lookup
from celery_graceful.runs.plain_run import Run, run_of
from celery_graceful.runtime import Runtime
from celery_graceful.text.counting import counted
from celery_graceful.text.masking import mask_text

#: Seconds between two looks: short at first, for short runs, and a tenth of the wait later.
SHORTEST, LONGEST, SHARE = 0.1, 2.0, 0.1


@dataclass(frozen=True, slots=True)
class Look:
    """What one look has seen."""

    #: The run as it was last read.
    run: Run
    #: Why it could not be read now; empty: it was.
    trouble: str = ""

    @property
    def done(self) -> bool:
        """Whether there is nothing more to wait for."""
        return not self.trouble and (self.run.ended or self.run.state == State.PAUSED)


def pause(seconds: float) -> None:
    """Wait between two looks."""
    time.sleep(seconds)


def watch(
    runtime: Runtime,
    name: str,
    timeout: float | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] | None = None,
) -> Iterator[Look]:
    """Read a run until it has ended or is paused; the last reading says which.

    Args:
        name: an id, the first characters of one, or a key.
        timeout: seconds; ``None``: as long as it takes.
        clock: seconds that only grow.
        sleep: waits for so many seconds; by default :func:`pause`.

    Raises:
        UnknownRun: there is no such run, when the wait begins.
        RunVanished: the store knows of it no longer, for a whole lease.
        WaitTimedOut: the time is over.
        StoreUnavailable: the store did not answer when the wait began.
    """
    began = clock()
    found = lookup.find(runtime, name)
    key, seen = found.key, run_of(runtime, *found)
    look = Look(seen)
    missing_since: float | None = None
    while True:
        yield look
        if look.done:
            return
        waited = clock() - began
        if timeout is not None and waited >= timeout:
            raise WaitTimedOut(_timed_out(look, waited))
        seconds = min(LONGEST, max(SHORTEST, SHARE * waited))
        (sleep or pause)(seconds if timeout is None else min(seconds, timeout - waited))
        try:
            at = runtime.store.load(key)
        except StoreUnavailable as exc:
            look = Look(look.run, mask_text(str(exc)))
            continue
        if at.record is not None:
            look, missing_since = Look(run_of(runtime, key, at.record, at.now)), None
            continue
        # Its owner writes it back with its next checkpoint.
        missing_since = clock() if missing_since is None else missing_since
        look = Look(look.run, "the store does not know of the run at the moment")
        if clock() - missing_since > runtime.settings.lease_ttl:
            raise RunVanished(
                f"the store no longer knows of {key}: its record was removed (FLUSHALL, an"
                " eviction, a restart without persistence, a deleted key or row), or the run ended"
                " and was forgotten. Look at the task's result, and at the workers' logs"
            )


def last(looks: Iterator[Look]) -> Run:
    """The run at the last look."""
    run: Run | None = None
    for look in looks:
        run = look.run
    assert run is not None
    return run


def _timed_out(look: Look, waited: float) -> str:
    run, after = look.run, format_seconds(round(waited, 1))
    trouble = f"; {look.trouble}" if look.trouble else ""
    return (
        f"{run} is {run.state} after {after} ({counted(run.steps, 'item')} done){trouble}."
        " It continues; wait again, or pause or cancel it"
    )

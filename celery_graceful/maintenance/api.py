"""``graceful.maintenance``: the only way to change the maintenance mode, and to wait for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from celery_graceful.durations import parse
from celery_graceful.maintenance import barrier_wait, mode_changes
from celery_graceful.maintenance.barrier import BarrierState, WorkerStatus
from celery_graceful.maintenance.broker_replies import ask_workers
from celery_graceful.maintenance.scopes import Plan, checked_scopes, plan_of, scopes_of
from celery_graceful.maintenance.workers import KnownWorker, known_workers, live_workers
from celery_graceful.model.maintenance.mode import (
    LogEntry,
    Mode,
    Scope,
    hold_scopes,
    release_scopes,
)
from celery_graceful.runs.observers import user_at_host
from celery_graceful.runtime import runtime_of
from celery_graceful.text.printable import printable

if TYPE_CHECKING:
    from celery import Celery

    from celery_graceful.runtime import Runtime

#: Seconds: ten years. A mode with a longer time in it could not be read again.
LONGEST = 3650 * 86400.0
#: Seconds, or a text such as ``"30m"``.
Duration = float | str | timedelta


@dataclass(frozen=True, slots=True)
class DownResult(mode_changes.Change):
    """The result of a ``down``."""

    #: What was asked to be held.
    scopes: tuple[Scope, ...] = ()
    #: The workers when all was paused; ``None`` without ``wait``.
    barrier: BarrierState | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What is held now, and what each worker does."""

    mode: Mode
    #: The store's time, in Unix seconds.
    now: float
    #: The workers, and what would still be waited for.
    barrier: BarrierState

    @property
    def down(self) -> bool:
        """Whether anything is held."""
        return self.mode.down

    @property
    def workers(self) -> tuple[WorkerStatus, ...]:
        """Those that are there first."""
        return self.barrier.workers

    @property
    def trouble(self) -> str:
        """Why workers could not be asked over the broker; empty when they could."""
        return self.barrier.trouble


class Maintenance:
    """The maintenance mode of an app, for its code, its scripts and the command line.

    All of it may raise :exc:`~celery_graceful.errors.StoreUnavailable` when the store does not
    answer, and :exc:`~celery_graceful.errors.CorruptRecord` when the mode cannot be read.
    """

    def __init__(self, app: Callable[[], Celery]) -> None:
        self._app = app

    def down(
        self,
        queues: Collection[str] = (),
        tasks: Collection[str] = (),
        *,
        reason: str = "",
        seconds: Duration | None = None,
        interrupt: bool = True,
        who: str | None = None,
        wait: bool = False,
        timeout: Duration | None = None,
    ) -> DownResult:
        """Hold everything, or these queues and tasks; what is held already gets these terms.

        Args:
            queues: names of queues.
            tasks: names of tasks, or patterns such as ``"shop.mail.*"``.
            reason: shown to people.
            seconds: after how long it ends by itself, ``1800`` or ``"30m"``; ``None``: never.
            interrupt: whether running iterable tasks stop at their next checkpoint.
            who: by default the user and host of this process.
            wait: return only when each live worker is paused and runs nothing that is held.
            timeout: how long to wait for that; ``None``: as long as it takes.

        Returns:
            The mode before and after, and what did not work beside it. Check ``warnings``.

        Raises:
            UnknownScope: there is no such queue or task.
            ScopeRefused: the queue is exempt, or more would be held than can be kept.
            WaitTimedOut: it did not come to that in time. All stays held.
            MaintenanceEnded: it was released while this waited.
            ValueError: a duration cannot be read.
        """
        _check_names(queues, tasks)
        lasts = _seconds_of(seconds)
        most = None if timeout is None else parse(timeout)
        runtime = self._runtime()
        scopes = checked_scopes(runtime, queues, tasks)
        # What is stored is shown to everybody.
        # One that is too long is refused below, and not cut here.
        doer, why = printable(who or user_at_host()), printable(reason, most=len(reason))

        def held(mode: Mode, now: float) -> Mode:
            until = None if lasts is None else now + lasts
            after = hold_scopes(
                mode, scopes, now=now, who=doer, reason=why, until=until, interrupt=interrupt
            )
            return mode_changes.check_size(after)

        done = mode_changes.change(runtime, held)
        result = DownResult(done.before, done.mode, done.now, done.warnings, scopes)
        if wait:
            *_, last = self.watch(result, most)
            result = replace(result, barrier=last)
        return result

    def watch(self, result: DownResult, timeout: Duration | None = None) -> Iterator[BarrierState]:
        """Check the workers after a ``down``, several times a second, until all have paused.

        The last value is the state then.

        Args:
            result: what ``down`` returned.
            timeout: how long to wait; ``None``: as long as it takes.

        Raises:
            WaitTimedOut, MaintenanceEnded: as ``down`` with ``wait``.
        """
        most = None if timeout is None else parse(timeout)
        return barrier_wait.watch(self._runtime(), result.mode, result.scopes, most)

    def plan(
        self, queues: Collection[str] = (), tasks: Collection[str] = (), *, interrupt: bool = True
    ) -> Plan:
        """What a ``down`` with these arguments would do now. Nothing is changed.

        Raises:
            UnknownScope, ScopeRefused: as ``down``.
        """
        _check_names(queues, tasks)
        runtime = self._runtime()
        scopes = checked_scopes(runtime, queues, tasks)
        now = mode_changes.read(runtime).now
        return plan_of(runtime, hold_scopes(Mode(), scopes, now=now, who="", interrupt=interrupt))

    def up(
        self,
        queues: Collection[str] = (),
        tasks: Collection[str] = (),
        *,
        ramp: Duration | None = None,
        who: str | None = None,
    ) -> mode_changes.Change:
        """Release these queues and tasks, or all that is held. When nothing is, this is fine.

        Without names it also replaces a mode that cannot be read.

        Args:
            queues: names of queues that are held by name.
            tasks: names or patterns of tasks that are held, as they were given.
            ramp: over how long work resumes, ``300`` or ``"5m"``; ``None``: at once.
            who: by default the user and host of this process.

        Returns:
            The mode before and after, and what did not work beside it. Check ``warnings``.

        Raises:
            ScopeNotDown: one of them is not held by its own name.
            ValueError: the duration cannot be read.
        """
        _check_names(queues, tasks)
        scopes = scopes_of(queues, tasks)
        lasts = 0.0 if ramp is None else _bounded("ramp", ramp)
        doer = printable(who or user_at_host())

        def released(mode: Mode, now: float) -> Mode:
            return release_scopes(mode, scopes, now=now, who=doer, ramp=lasts)

        def replaced(now: float) -> Mode:
            # It is unknown what was held: it is released, and parked messages come back.
            entry = LogEntry(now, doer, "up", (), "replaced a mode that could not be read")
            return Mode(log=(entry,), parked=True)

        return mode_changes.change(self._runtime(), released, None if scopes else replaced)

    def status(self) -> Status:
        """What is held, and what each worker does; takes a second, since the workers are asked."""
        runtime = self._runtime()
        replies = ask_workers(runtime, known_workers(runtime.store))
        reading = mode_changes.read(runtime)
        return Status(reading.mode, reading.now, barrier_wait.look(runtime, reading.mode, replies))

    def workers(self) -> list[KnownWorker]:
        """The workers that have reported to the store recently; none is asked."""
        return live_workers(self._runtime())

    def _runtime(self) -> Runtime:
        return runtime_of(self._app())


def _seconds_of(value: Duration | None) -> float | None:
    seconds = None if value is None else _bounded("seconds", value)
    if seconds == 0:
        raise ValueError(f"seconds: {value!r} is no time at all; leave it out to hold until `up`")
    return seconds


def _bounded(name: str, value: Duration) -> float:
    seconds = parse(value)
    if seconds > LONGEST:
        raise ValueError(f"{name}: {value!r:.60} is longer than ten years (3650d), the most")
    return seconds


def _check_names(*names: object) -> None:
    for given in names:
        if isinstance(given, str):
            raise TypeError(f"write a list of names: [{given!r}]")

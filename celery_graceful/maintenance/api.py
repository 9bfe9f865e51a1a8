"""``graceful.maintenance``: the maintenance mode from Python."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from celery_graceful.durations import parse
from celery_graceful.maintenance import barrier_wait, mode_changes
from celery_graceful.maintenance.barrier import BarrierState, WorkerStatus
from celery_graceful.maintenance.broker_replies import ask_workers
from celery_graceful.maintenance.scopes import checked, scopes_of
from celery_graceful.maintenance.workers import known_workers
from celery_graceful.model.maintenance.mode import Mode, Scope
from celery_graceful.runtime import runtime_of

if TYPE_CHECKING:
    from celery import Celery

    from celery_graceful.runtime import Runtime

#: Seconds, or a text such as ``"30m"``.
Duration = float | str | timedelta


@dataclass(frozen=True, slots=True)
class DownResult(mode_changes.Change):
    """What came of a ``down``."""

    #: The workers when all was paused; ``None`` when nobody waited.
    standing: BarrierState | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What is held now, and what each worker does."""

    mode: Mode
    #: The store's time, in Unix seconds.
    now: float
    #: Those that are there first.
    workers: tuple[WorkerStatus, ...]
    #: Why workers could not be asked over the broker; empty when they could.
    trouble: str = ""

    @property
    def down(self) -> bool:
        """Whether anything is held."""
        return self.mode.down

    @property
    def standing(self) -> BarrierState:
        """The workers, and what is still waited for."""
        return BarrierState(self.workers, self.trouble)


class Maintenance:
    """The maintenance mode of an app, for its code and scripts.

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
            reason: what people are told.
            seconds: after how long it ends by itself, ``1800`` or ``"30m"``; ``None``: never.
            interrupt: whether iterable tasks under way leave at their next checkpoint.
            who: by default the user and host of this process.
            wait: return only when each live worker is paused and runs nothing that is held.
            timeout: how long to wait for that; ``None``: as long as it takes.

        Returns:
            The mode before and after, and what did not work beside it. Look at ``warnings``.

        Raises:
            UnknownScope: there is no such queue or task.
            ScopeRefused: the queue is exempt, or more would be held than can be kept.
            WaitTimedOut: it did not come to that in time. All stays held.
            MaintenanceEnded: it was lifted while this waited.
            ValueError: a duration cannot be read.
        """
        _check_names(queues, tasks)
        runtime, ends = self._runtime(), seconds_of(seconds, "seconds")
        most = None if timeout is None else parse(timeout)
        scopes = scopes_of(queues, tasks)
        if tasks:
            runtime.app.loader.import_default_modules()
        checked(runtime, scopes, consumed(runtime))
        done = mode_changes.down(
            runtime, scopes, reason=reason, who=who, seconds=ends, interrupt=interrupt
        )
        standing = barrier_wait.wait(runtime, done.mode, scopes, most) if wait else None
        return DownResult(done.before, done.mode, done.now, done.warnings, standing)

    def up(
        self,
        queues: Collection[str] = (),
        tasks: Collection[str] = (),
        *,
        ramp: Duration | None = None,
        who: str | None = None,
    ) -> mode_changes.Change:
        """Hold these queues and tasks no longer, or nothing at all. When nothing is, this is fine.

        Args:
            queues: names of queues that are held by name.
            tasks: names or patterns of tasks that are held, as they were given.
            ramp: over how long work is taken up again, ``300`` or ``"5m"``; ``None``: at once.
            who: by default the user and host of this process.

        Returns:
            The mode before and after, and what did not work beside it. Look at ``warnings``.

        Raises:
            ScopeNotDown: one of them is not held by itself.
            ValueError: the duration cannot be read.
        """
        _check_names(queues, tasks)
        scopes: tuple[Scope, ...] = scopes_of(queues, tasks) if queues or tasks else ()
        seconds = 0.0 if ramp is None else parse(ramp)
        return mode_changes.up(self._runtime(), scopes, ramp=seconds, who=who)

    def status(self) -> Status:
        """What is held, and what each worker does; takes a second, since the workers are asked."""
        return status_of(self._runtime())

    def _runtime(self) -> Runtime:
        return runtime_of(self._app())


def status_of(runtime: Runtime) -> Status:
    """What is held in an app, and what each of its workers does."""
    heard = ask_workers(runtime, known_workers(runtime.store))
    reading = mode_changes.read(runtime)
    standing = barrier_wait.look(runtime, reading.mode, heard)
    return Status(reading.mode, reading.now, standing.workers, standing.trouble)


def consumed(runtime: Runtime) -> set[str]:
    """The queues that workers report."""
    reports = [member.report for member in known_workers(runtime.store)]
    return {queue for report in reports if report is not None for queue in report.queues}


def seconds_of(value: Duration | None, what: str) -> float | None:
    """After how many seconds a hold ends.

    Raises:
        ValueError: it cannot be read, or is no time at all.
    """
    seconds = None if value is None else parse(value)
    if seconds == 0:
        raise ValueError(f"{what}: {value!r} is no time at all; leave it out to hold on until `up`")
    return seconds


def _check_names(*names: object) -> None:
    for given in names:
        if isinstance(given, str):
            raise TypeError(f"write a list of names: [{given!r}]")

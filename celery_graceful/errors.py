"""Every error of this package. Each message says what was wrong, where, and what to do."""

from __future__ import annotations

__all__ = [
    "AmbiguousRun",
    "BaseExceptionRaised",
    "CheckpointLost",
    "CorruptRecord",
    "CursorError",
    "CutOff",
    "CutOffError",
    "DefinitionError",
    "GracefulError",
    "MaintenanceEnded",
    "MaxCrashesExceeded",
    "MaxItemErrorsExceeded",
    "NewerRecord",
    "NoRunError",
    "NotResumable",
    "NotSent",
    "ProcessEnded",
    "ProcessError",
    "ProcessNotReady",
    "PublishUncertain",
    "RunRefused",
    "RunVanished",
    "ScopeNotDown",
    "ScopeRefused",
    "SettingsError",
    "SourceError",
    "StartRefused",
    "StoreError",
    "StoreUnavailable",
    "TokenExpired",
    "TransactionError",
    "UnknownRun",
    "UnknownScope",
    "UnknownTask",
    "Unroutable",
    "WaitTimedOut",
]


class GracefulError(Exception):
    """Base of all errors of this package."""


class CutOff(BaseException):
    """Raised inside a task with ``raise_at_cut`` when its stopping worker ends what still runs.

    No ``Exception``, so that ``except Exception`` does not catch it and ``finally`` is run.
    """

    def __init__(self, message: str = "the stopping worker ends what still runs") -> None:
        super().__init__(message)


class CutOffError(GracefulError):
    """A task was cut off by its stopping worker, and its message was acknowledged early."""


class SettingsError(GracefulError):
    """A ``graceful_*`` setting is unknown or has a wrong value."""


class DefinitionError(GracefulError):
    """A task is not written as an iterable task has to be."""


class CursorError(GracefulError):
    """A cursor or carry cannot be saved, or does not move."""


class SourceError(GracefulError, ValueError):
    """A source cannot read what it was asked for, or cannot read it in an order to resume in."""


class TokenExpired(GracefulError):
    """Raise it in the function of ``sources.pages`` when the API refuses a token as expired."""


class NoRunError(GracefulError):
    """Something that only a running task has was asked for outside of one."""


class TransactionError(GracefulError):
    """A transaction of the task's own database is open where a checkpoint would be saved."""


class BaseExceptionRaised(GracefulError):
    """Code of an iterable task raised something that is not an ``Exception``: the run fails."""


class MaxCrashesExceeded(GracefulError):
    """A run's executions crashed ``max_crashes`` times in a row without getting further."""


class CheckpointLost(GracefulError):
    """A run's record vanished from the store, and nothing else says how far the run was."""


class MaxItemErrorsExceeded(GracefulError):
    """More of a run's items failed than ``max_failed_items`` allows."""


class ScopeNotDown(GracefulError):
    """An ``up`` names something that is not down by itself."""


class ScopeRefused(GracefulError):
    """A ``down`` names something that may not be held, or more than can be kept."""


class UnknownScope(GracefulError):
    """A ``down`` names a queue or a task that is not there."""


class WaitTimedOut(GracefulError):
    """The time was over: workers still ran tasks, and all stays held; or a run had not ended."""


class MaintenanceEnded(GracefulError):
    """What was waited for is no longer held: it was released, or it ended by itself."""


class UnknownRun(GracefulError):
    """No run has the id that was asked for."""


class AmbiguousRun(UnknownRun):
    """More than one run has an id that begins so: write more of it."""


class RunVanished(UnknownRun):
    """The store no longer knows of a run that was waited for."""


class StartRefused(GracefulError):
    """A run cannot be started as it was asked for; nothing was sent."""


class UnknownTask(StartRefused):
    """The app has no task of the name that was to be started."""


class RunRefused(GracefulError):
    """What was asked does not fit the state of the run; nothing was changed."""


class NotSent(GracefulError):
    """The broker did not accept the message of a run yet; a worker sends it again."""


class StoreError(GracefulError):
    """The store cannot be used as it is configured, or refused an operation."""


class StoreUnavailable(StoreError):
    """The store did not answer, or cannot serve now; the same call may succeed later."""


class CorruptRecord(StoreError):
    """A record in the store cannot be read; nothing was changed."""


class NewerRecord(CorruptRecord):
    """A later version of this package wrote a record in a format that this one does not know."""


class NotResumable(GracefulError):
    """No message can be made of a request, so its run could not be continued elsewhere."""


class PublishUncertain(GracefulError):
    """A message may or may not have reached the broker."""


class Unroutable(PublishUncertain):
    """The broker has no queue for a message; it was not kept."""


class ProcessError(GracefulError):
    """A background process could not be started, or is not what the task needs it to be."""

    #: The process's pid, if it ran.
    pid: int | None = None
    #: Its exit code, or the negative number of the signal that ended it; ``None``: it still ran.
    returncode: int | None = None
    #: The last of what it wrote.
    output_tail: str = ""


class ProcessEnded(ProcessError):
    """A background process ended while it was still needed, whatever its exit code."""


class ProcessNotReady(ProcessError):
    """A background process was not ready in time."""

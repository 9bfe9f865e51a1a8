"""Every error of this package. Each says what was wrong, where, and what to do."""

from __future__ import annotations

__all__ = [
    "CorruptRecord",
    "CursorError",
    "DefinitionError",
    "GracefulError",
    "MaxCrashesExceeded",
    "MaxItemErrorsExceeded",
    "NewerRecord",
    "NoRunError",
    "PublishUncertain",
    "SettingsError",
    "StoreError",
    "StoreUnavailable",
    "TransactionError",
    "Unroutable",
]


class GracefulError(Exception):
    """Base of all errors of this package."""


class SettingsError(GracefulError):
    """A ``graceful_*`` setting is unknown or has a wrong value."""


class DefinitionError(GracefulError):
    """A task is not written as an iterable task has to be."""


class CursorError(GracefulError):
    """A cursor or carry cannot be saved, or does not move."""


class NoRunError(GracefulError):
    """Something that only a running leg has was asked for outside of one."""


class TransactionError(GracefulError):
    """A transaction of the task's own database does not go together with its checkpoints."""


class MaxCrashesExceeded(GracefulError):
    """A run's legs crashed ``max_crashes`` times in a row without getting further."""


class MaxItemErrorsExceeded(GracefulError):
    """More of a run's items failed than ``max_item_errors`` allows."""


class StoreError(GracefulError):
    """The store cannot be used as it is configured, or refused an operation."""


class StoreUnavailable(StoreError):
    """The store did not answer; the same call may succeed later."""


class CorruptRecord(StoreError):
    """A record in the store cannot be read; nothing was changed."""


class NewerRecord(CorruptRecord):
    """A later version of this package wrote a record in a way that this one does not know."""


class PublishUncertain(GracefulError):
    """A message may or may not have reached the broker."""


class Unroutable(PublishUncertain):
    """The broker has no queue for a message; it was not kept."""

"""What is reported of a record or text that cannot be read."""

from __future__ import annotations

import logging

from celery_graceful.errors import CorruptRecord, NewerRecord
from celery_graceful.stores.codec import Newer

logger = logging.getLogger("celery_graceful.stores")

#: Places remembered as warned of.
_MAX_WARNED = 1000

_FIX = (
    "Nothing was changed. Fix it or delete it: docs/how-to/operate-runs.md says how, and what "
    "becomes of its run."
)
_UPGRADE = "Upgrade celery-graceful here; workers that have the later version run it."


def unread(where: str, why: object) -> CorruptRecord:
    """The error for a record that was asked for.

    Args:
        where: the record and its store.
        why: what :mod:`celery_graceful.stores.codec` found.
    """
    if isinstance(why, Newer):
        return NewerRecord(f"The record {where} is of a later version: {why}. {_UPGRADE}")
    return CorruptRecord(f"The record {where} cannot be read ({why}). {_FIX}")


def unread_text(where: str, why: object) -> CorruptRecord:
    """The error for a notice or a report.

    Args:
        where: the place and its store.
        why: what was found there.
    """
    return CorruptRecord(
        f"The text {where} cannot be read ({why}). Nothing was changed. Delete what is there: "
        "workers write their reports again within seconds; a maintenance mode that was in force "
        "has to be set anew."
    )


class Skipped:
    """Warns once of each unreadable record that a listing leaves out."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def warn(self, where: str, why: object) -> None:
        """Log that the record at ``where`` was left out, and why."""
        if isinstance(why, Newer):
            message = f"is of a later version and is skipped: {why}. {_UPGRADE}"
        else:
            message = f"cannot be read and is skipped ({why}). {_FIX}"
        if self._is_new(where):
            logger.warning("The record at %s %s", where, message)

    def warn_text(self, where: str, why: object) -> None:
        """Log that a report was left out, and why."""
        if self._is_new(where):
            logger.error("The text %s cannot be read and is skipped: %s", where, why)

    def _is_new(self, where: str) -> bool:
        if where in self._warned:
            return False
        if len(self._warned) < _MAX_WARNED:
            self._warned.add(where)
        return True

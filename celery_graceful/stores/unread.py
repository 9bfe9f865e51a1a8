"""What is said of a record that cannot be read, and to whom."""

from __future__ import annotations

from celery_graceful.errors import CorruptRecord, NewerRecord
from celery_graceful.stores.codec import Newer

_FIX = (
    "Nothing was changed. Fix it or delete it: docs/how-to/operate-runs.md tells how, and what "
    "becomes of its run."
)
_UPGRADE = "Upgrade celery-graceful here; workers that have the later version carry the run."


def unread(where: str, why: object) -> CorruptRecord:
    """The error for a record that was asked for.

    Args:
        where: the record and its store.
        why: what :mod:`celery_graceful.stores.codec` found.
    """
    if isinstance(why, Newer):
        return NewerRecord(f"The record {where} is of a later version: {why}. {_UPGRADE}")
    return CorruptRecord(f"The record {where} cannot be read ({why}). {_FIX}")


def why_skipped(where: str, why: object) -> str:
    """The warning about a record that a listing leaves out."""
    if isinstance(why, Newer):
        return f"The record at {where} is of a later version and is skipped: {why}. {_UPGRADE}"
    return f"The record at {where} cannot be read and is skipped ({why}). {_FIX}"


def unread_board(where: str, why: object) -> CorruptRecord:
    """The error for a notice or a report.

    Args:
        where: the place and its store.
        why: what was found there.
    """
    return CorruptRecord(
        f"The notice board cannot be read at {where} ({why}). Nothing was changed. Delete what is "
        "there: workers write their reports again within seconds; a maintenance mode that was in "
        "force has to be set anew."
    )

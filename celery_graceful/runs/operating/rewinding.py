"""Where an operator has a run continue: a checkpoint made of what was typed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from celery_graceful.errors import CursorError
from celery_graceful.model.run.cursor import Checkpoint, decode, encode
from celery_graceful.runs.lookup import Found
from celery_graceful.runtime import Runtime

#: No cursor, or no carry, was given: ``None`` is one.
UNCHANGED: Final = object()
_READ_TEXT: Final = {
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
    Decimal: Decimal,
    UUID: UUID,
}


def saved_checkpoint(found: Found) -> Checkpoint:
    """The run's checkpoint; an empty one before the first, or where it cannot be read."""
    text = found.record.checkpoint
    if text is None:
        return Checkpoint()
    try:
        return decode(text)
    except CursorError:
        return Checkpoint(steps=found.record.steps)


def rewound(runtime: Runtime, found: Found, cursor: Any, carry: Any = UNCHANGED) -> str | None:
    """The checkpoint of the run behind another cursor, as text; ``None``: at its beginning.

    What is counted goes on: the items that are done again count again. So nobody knows any more
    how many there are in all.

    Raises:
        CursorError: cursor or carry cannot be kept.
    """
    if cursor is None:
        return None
    saved = saved_checkpoint(found)
    return encode(
        replace(
            saved,
            cursor=like(saved.cursor, cursor),
            carry=saved.carry if carry is UNCHANGED else carry,
            steps=found.record.steps,
            total=None,
            in_doubt=None,
            version=version_of(runtime, found, saved),
            code="",
        )
    )


def version_of(runtime: Runtime, found: Found, saved: Checkpoint) -> int:
    """The version of the cursors that the task's code reads, if this app has the task."""
    task = runtime.app.tasks.get(found.key.task)
    return int(getattr(task, "cursor_version", saved.version))


def like(old: Any, new: Any) -> Any:
    """A cursor of the type of another one: JSON has no tuples, times or decimals.

    Raises:
        CursorError: a text cannot be read as what it should be.
    """
    if isinstance(old, tuple) and isinstance(new, list):
        if len(old) == len(new):
            return tuple(like(*pair) for pair in zip(old, new, strict=True))
        return tuple(new)
    read: Any = _READ_TEXT.get(type(old))
    if read is None or not isinstance(new, str):
        return new
    try:
        return read(new)
    except (ValueError, ArithmeticError) as exc:
        kind = type(old).__name__
        raise CursorError(f"the run's cursor is a {kind}, and {new!r:.100} is none: {exc}") from exc

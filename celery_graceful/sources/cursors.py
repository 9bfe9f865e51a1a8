"""Cursors as they come back: checked before anything is read."""

from __future__ import annotations

from celery_graceful.errors import CursorError


def whole_cursor(source: str, cursor: object, *, least: int | None = 0) -> int | None:
    """``cursor`` when it is a whole number of at least ``least``, or ``None``.

    Raises:
        CursorError: it is anything else; names ``source``.
    """
    if cursor is None:
        return None
    if isinstance(cursor, bool) or not isinstance(cursor, int):
        raise CursorError(
            f"{source}: the cursor must be a whole number or None, not {cursor!r};"
            " pass on the cursor that the source yielded"
        )
    if least is not None and cursor < least:
        raise CursorError(f"{source}: the cursor must be {least} or more, not {cursor}")
    return cursor

"""Checks of cursors that are numbers."""

from __future__ import annotations

from celery_graceful.errors import CursorError

__all__ = ["whole_cursor"]


def whole_cursor(source: str, cursor: object, *, least: int | None = 0) -> int | None:
    """``cursor`` when it is a whole number of at least ``least``, or ``None``.

    :raises CursorError: naming ``source`` when it is anything else.
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

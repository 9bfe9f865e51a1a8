"""Values of key columns as JSON, and back: equal and of the same type.

Numbers, texts, booleans and ``None`` stay as they are. All else becomes an object with one entry,
its type: ``{"uuid": "6c5e…"}``. A moment with a zone keeps its offset, which is all that a
database compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from celery_graceful.errors import CursorError, SourceError

#: What JSON keeps as it is. Exactly these: a subclass may be written as something else.
PLAIN = frozenset({int, str, bool, type(None)})
_ALLOWED = "None, bool, int, float, str, bytes, date, time, datetime, timedelta, Decimal or UUID"


def encode(value: Any, column: str) -> Any:
    """A key column's value as JSON.

    Raises:
        SourceError: it is of a type that a cursor cannot hold; names ``column`` and the value.
    """
    kind = type(value)
    if kind in PLAIN or (kind is float and math.isfinite(value)):
        return value
    found = _WRITERS.get(kind) or _inherited(kind)
    if found is None:
        raise SourceError(
            f"the value of {column} is {value!r:.200} of type {kind.__name__}, which a cursor"
            f" cannot hold: it may be {_ALLOWED}. Order by another column"
        )
    name, write = found
    written = write(value)
    return written if name is None else {name: written}


def decode(value: Any, column: str) -> Any:
    """What :func:`encode` was given.

    Raises:
        CursorError: it did not write this; names ``column`` and the value.
    """
    kind = type(value)
    if kind in PLAIN or kind is float:
        return value
    try:
        ((name, text),) = value.items()
        return _READERS[name](text)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as exc:
        raise CursorError(
            f"the cursor's value of {column} is {value!r:.200}, which no source has written;"
            " pass on a cursor as it was yielded"
        ) from exc


def _write_moment(value: datetime) -> str:
    offset = value.utcoffset()
    if offset is not None and offset % timedelta(minutes=1):
        value = value.astimezone(timezone.utc)  # Python misreads offsets below a second
    return value.isoformat()


def _inherited(kind: type) -> tuple[str | None, Callable[[Any], Any]] | None:
    """For subclasses, such as those that drivers make: what a database compares is the value."""
    for base in (bool, int, float, str):
        if issubclass(kind, base) and not hasattr(kind, "__members__"):
            return None, base
    return next((how for cls, how in _WRITERS.items() if issubclass(kind, cls)), None)


#: A ``datetime`` before ``date``, whose subclass it is.
_WRITERS: Mapping[type, tuple[str | None, Callable[[Any], Any]]] = {
    float: ("float", repr),  # what is not finite; the rest is plain
    bytes: ("bytes", bytes.hex),
    bytearray: ("bytes", bytearray.hex),
    memoryview: ("bytes", memoryview.hex),
    datetime: ("datetime", _write_moment),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    timedelta: ("timedelta", lambda v: [v.days, v.seconds, v.microseconds]),
    Decimal: ("decimal", str),
    UUID: ("uuid", str),
}

_READERS: Mapping[str, Callable[[Any], Any]] = {
    "float": float,
    "bytes": bytes.fromhex,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda v: timedelta(*v),
    "decimal": Decimal,
    "uuid": UUID,
}

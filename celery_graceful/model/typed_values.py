"""Values that come back equal and of the same type, written as JSON.

What JSON would change (tuples, datetimes, decimals …) is written as an object with the single key
``"$"`` and its type's name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from celery_graceful.errors import CursorError

_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]")
#: Lists and dicts deeper than this are taken for a mistake (or contain themselves).
MAX_DEPTH = 32


def shown(value: object) -> str:
    """For an error message, also where ``repr`` raises."""
    try:
        return repr(value)[:200]
    except Exception as exc:
        return f"<cannot be shown: {type(exc).__name__}>"


def type_name(value: object) -> str:
    """The class, with its module unless that is built in."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def to_plain(value: Any, where: str, depth: int = 0) -> Any:
    """A value as JSON can write it.

    Raises:
        CursorError: it would not come back equal and of the same type; ``where`` names it.
    """
    kind = type(value)
    if value is None or kind is int or kind is bool:
        return value
    if kind is str:
        return value if value.isascii() else _plain_text(value, where)
    if kind is float:
        if not math.isfinite(value):
            raise CursorError(f"{where} is {value!r}, which would not come back equal")
        return value
    if depth > MAX_DEPTH:
        raise CursorError(f"{where} is nested deeper than {MAX_DEPTH} levels")
    if kind is list:
        return [to_plain(v, f"{where}[{i}]", depth + 1) for i, v in enumerate(value)]
    if kind is tuple:
        return {"$": "tuple", "v": to_plain(list(value), where, depth)}
    if kind is dict:
        return _plain_dict(value, where, depth)
    write = _WRITERS.get(kind)
    if write is None:
        raise CursorError(
            f"{where} is a {type_name(value)} ({shown(value)}), which would not come back as the"
            " same type. Use None, bool, int, float, str, bytes, date, time, datetime, timedelta, "
            f"Decimal, UUID, and tuples, lists and dicts of these.{_hint(kind)}"
        )
    return {"$": kind.__name__, "v": write(value, where)}


def _hint(kind: type) -> str:
    """What to do with a model of Pydantic, whichever version."""
    if not hasattr(kind, "model_dump"):
        return ""
    return (
        f" Of a model, save model.model_dump(), and make it again by {kind.__name__}.model_validate"
        "(…) where the run goes on."
    )


def _plain_text(value: str, where: str) -> str:
    if _SURROGATES.search(value):
        raise CursorError(f"{where} holds two surrogates that would come back as one character")
    return value


def _plain_dict(value: dict[Any, Any], where: str, depth: int) -> Any:
    if all(type(k) is str and k.isascii() for k in value) and "$" not in value:
        return {k: to_plain(v, f"{where}[{k!r}]", depth + 1) for k, v in value.items()}
    pairs = [
        [to_plain(k, f"a key of {where}", depth + 1), to_plain(v, f"{where}[{k!r}]", depth + 1)]
        for k, v in value.items()
    ]
    return {"$": "dict", "v": pairs}


def _write_moment(value: datetime | time, where: str) -> Any:
    zone = value.tzinfo
    if zone is not None and not isinstance(zone, ZoneInfo):
        offset = value.utcoffset()
        if offset is None:
            raise CursorError(f"{where} has a time zone that gives no offset: {shown(value)}")
        # Apart: Python reads an offset of less than a second as none.
        naive = value.replace(tzinfo=None)
        return [naive.isoformat(), value.fold, offset // timedelta(microseconds=1)]
    if zone is not None and zone.key is None:
        raise CursorError(f"{where} has a time zone without a key: {value!r}")
    naive = value.replace(tzinfo=None)
    return [naive.isoformat(), value.fold, zone.key if zone is not None else None]


_WRITERS: Mapping[type, Callable[[Any, str], Any]] = {
    bytes: lambda v, where: v.hex(),
    date: lambda v, where: v.isoformat(),
    datetime: _write_moment,
    time: _write_moment,
    timedelta: lambda v, where: [v.days, v.seconds, v.microseconds],
    Decimal: lambda v, where: _write_decimal(v, where),
    UUID: lambda v, where: v.hex,
}


def _write_decimal(value: Decimal, where: str) -> str:
    if value.is_nan():
        raise CursorError(f"{where} is {value!r}, which would not come back equal")
    return str(value)


def _read_moment(kind: Any, value: Any) -> Any:
    text, fold, zone = value
    moment = kind.fromisoformat(text).replace(fold=fold)
    if zone is None:
        return moment
    fixed = type(zone) is int
    return moment.replace(
        tzinfo=timezone(timedelta(microseconds=zone)) if fixed else ZoneInfo(zone)
    )


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "tuple": lambda v: tuple(from_plain(v)),
    "dict": lambda v: {from_plain(k): from_plain(x) for k, x in v},
    "bytes": bytes.fromhex,
    "date": date.fromisoformat,
    "datetime": lambda v: _read_moment(datetime, v),
    "time": lambda v: _read_moment(time, v),
    "timedelta": lambda v: timedelta(*v),
    "Decimal": Decimal,
    "UUID": lambda v: UUID(hex=v),
}


def from_plain(value: Any) -> Any:
    """What :func:`to_plain` was given. Whoever forged the text may get any built-in exception."""
    if isinstance(value, list):
        return [from_plain(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "$" in value:
        return _READERS[value["$"]](value["v"])
    return {k: from_plain(v) for k, v in value.items()}

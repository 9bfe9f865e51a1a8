"""Checkpoints as text: cursor, carry and count, coming back equal and of the same type.

JSON with one addition: what JSON would change (tuples, datetimes, decimals …) is written as an
object with the single key ``"$"`` and its type's name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from celery_graceful.errors import CursorError
from celery_graceful.text import strict_json

#: The most an encoded checkpoint may take, in bytes.
MAX_BYTES = 64 * 1024
#: The most that it may take for the run's children to be kept in it: what a message carries.
MAX_WITH_CHILDREN = 32 * 1024
_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
#: Sets and lists deeper than this are taken for a mistake (or contain themselves).
MAX_DEPTH = 32
#: A history of items' times holds fewer than this, and its scale has fewer steps.
MOST_IN_PACE = 100_000


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a run has come: everything up to and including ``cursor`` is done."""

    cursor: Any = None
    carry: dict[str, Any] = field(default_factory=dict)
    #: Items done since the run began.
    steps: int = 0
    #: Items in all, as counted at the start, or ``None``.
    total: int | None = None
    #: The cursor of the item that may have run already, or ``None``.
    in_doubt: Any = None
    #: Items quarantined since the run began.
    errors: int = 0
    #: How long items take (see :class:`.Pace`); empty when negligible.
    pace: tuple[tuple[int, int], ...] = ()
    #: Items per batch, where batches had to become smaller; else 0.
    batch: int = 0
    #: The tasks that the run has started, as text; left out where there is no room for them.
    children: tuple[str, ...] = ()


def encode(checkpoint: Checkpoint) -> str:
    """Turn a checkpoint into text.

    Raises:
        CursorError: a part would not come back equal and of the same type, or the whole takes
            more than :data:`MAX_BYTES`. The message names the part.
    """
    carry = checkpoint.carry
    if type(carry) is not dict:
        raise CursorError(f"carry must be a dict, not {_name(carry)}: {_show(carry)}")
    if not _is_count(checkpoint.total):
        raise CursorError(f"count() must return an int or None, not {_show(checkpoint.total)}")
    if not carry and _is_small(checkpoint.cursor) and _has_no_more(checkpoint):
        # As most are, and as it would be written below: a short task pays for two.
        total = "null" if checkpoint.total is None else checkpoint.total
        rest = f'"carry":{{}},"steps":{checkpoint.steps},"total":{total}'
        return f'{{"cursor":{checkpoint.cursor},{rest}}}'
    data = {
        "cursor": _plain(checkpoint.cursor, "cursor", 0),
        "carry": _plain(carry, "carry", 0),
        "steps": checkpoint.steps,
        "total": checkpoint.total,
    }
    if checkpoint.in_doubt is not None:
        data["in_doubt"] = _plain(checkpoint.in_doubt, "the next cursor", 0)
    if checkpoint.errors:
        data["errors"] = checkpoint.errors
    if checkpoint.pace:
        data["pace"] = checkpoint.pace
    if checkpoint.batch:
        data["batch"] = checkpoint.batch
    try:
        text = _dumps(data)
        if checkpoint.children:
            text = _with_children(text, data, checkpoint.children)
    except ValueError as exc:
        raise CursorError(f"the cursor or carry cannot be written as JSON: {exc}") from exc
    if len(text) > MAX_BYTES:
        raise CursorError(
            f"cursor and carry take {len(text)} bytes, at most {MAX_BYTES} are allowed: "
            f"{_sizes(data)}. Keep large data in a database and only its key in the checkpoint."
        )
    return text


def _with_children(text: str, data: Mapping[str, Any], children: tuple[str, ...]) -> str:
    """The same with the children, if a message can still carry it."""
    longer = _dumps({**data, "children": children})
    return longer if len(longer) <= MAX_WITH_CHILDREN else text


def decode(text: str) -> Checkpoint:
    """Turn what :func:`encode` wrote back into a checkpoint.

    Raises:
        CursorError: the text was not written by :func:`encode`.
    """
    try:
        data = _loads(text)
        carry, steps, total = _rich(data["carry"]), data["steps"], data["total"]
        if type(carry) is not dict or not _is_count(total):
            raise TypeError("carry or total is of a wrong type")
        strict_json.whole(steps, "steps")
        in_doubt, errors = _rich(data.get("in_doubt")), data.get("errors", 0)
        pace, batch = _read_pace(data.get("pace", ())), data.get("batch", 0)
        strict_json.whole(errors, "errors")
        strict_json.whole(batch, "batch")
        children = _read_children(data.get("children", ()))
        cursor = _rich(data["cursor"])
        return Checkpoint(cursor, carry, steps, total, in_doubt, errors, pace, batch, children)
    except (
        ValueError,
        LookupError,
        TypeError,
        ArithmeticError,
        AttributeError,
        RecursionError,
        OSError,  # of a time zone that is a folder of the tzdata package
    ) as exc:
        raise CursorError(
            f"the saved checkpoint cannot be read ({exc!r}): {text[:200]!r}. Was it written by "
            "another version of celery-graceful, or changed by hand?"
        ) from exc


def _read_pace(pairs: Any) -> tuple[tuple[int, int], ...]:
    pace = tuple((step, items) for step, items in pairs)
    for pair in pace:
        for number in pair:
            strict_json.whole(number, "pace", 0, MOST_IN_PACE)
    return pace


def _read_children(texts: Any) -> tuple[str, ...]:
    if type(texts) not in (list, tuple) or not all(type(text) is str for text in texts):
        raise TypeError("children are not a list of texts")
    return tuple(texts)


#: Its digits may be as many as those of a cursor, so it is not read by :mod:`strict_json`.
_loads = json.JSONDecoder(
    object_pairs_hook=strict_json.pairs,
    parse_float=strict_json.finite,
    parse_constant=strict_json.constant,
).decode


def _is_small(value: object) -> bool:
    return type(value) is int and -strict_json.MOST <= value <= strict_json.MOST


def _has_no_more(checkpoint: Checkpoint) -> bool:
    c = checkpoint
    return c.in_doubt is None and not (c.errors or c.pace or c.batch or c.children)


def _sizes(data: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {len(json.dumps(data[k]))}" for k in ("cursor", "carry"))


def _is_count(value: object) -> bool:
    return value is None or _is_small(value)


def _show(value: object) -> str:
    try:
        return repr(value)[:200]
    except Exception as exc:
        return f"<cannot be shown: {type(exc).__name__}>"


def _name(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _plain(value: Any, where: str, depth: int) -> Any:
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
        return [_plain(v, f"{where}[{i}]", depth + 1) for i, v in enumerate(value)]
    if kind is tuple:
        return {"$": "tuple", "v": _plain(list(value), where, depth)}
    if kind is dict:
        return _plain_dict(value, where, depth)
    write = _WRITERS.get(kind)
    if write is None:
        raise CursorError(
            f"{where} is a {_name(value)} ({_show(value)}), which would not come back as the same "
            "type. Use None, bool, int, float, str, bytes, date, time, datetime, timedelta, "
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
        return {k: _plain(v, f"{where}[{k!r}]", depth + 1) for k, v in value.items()}
    pairs = [
        [_plain(k, f"a key of {where}", depth + 1), _plain(v, f"{where}[{k!r}]", depth + 1)]
        for k, v in value.items()
    ]
    return {"$": "dict", "v": pairs}


def _write_moment(value: datetime | time, where: str) -> Any:
    zone = value.tzinfo
    if zone is not None and not isinstance(zone, ZoneInfo):
        offset = value.utcoffset()
        if offset is None:
            raise CursorError(f"{where} has a time zone that tells no offset: {_show(value)}")
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
    "tuple": lambda v: tuple(_rich(v)),
    "dict": lambda v: {_rich(k): _rich(x) for k, x in v},
    "bytes": bytes.fromhex,
    "date": date.fromisoformat,
    "datetime": lambda v: _read_moment(datetime, v),
    "time": lambda v: _read_moment(time, v),
    "timedelta": lambda v: timedelta(*v),
    "Decimal": Decimal,
    "UUID": lambda v: UUID(hex=v),
}


def _rich(value: Any) -> Any:
    if isinstance(value, list):
        return [_rich(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "$" in value:
        return _READERS[value["$"]](value["v"])
    return {k: _rich(v) for k, v in value.items()}

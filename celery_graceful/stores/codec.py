"""A record as flat fields: the ones a store compares by itself, and one JSON text for the rest.

Written by hand for speed: a short task encodes three records and decodes none.
"""

from __future__ import annotations

import json
from typing import Any, Final

from celery_graceful.model.record import Outcome, Record, Request, State

__all__ = ["Unreadable", "build", "extra_of", "text", "utf8"]

#: Raised when the meaning of a field changes, so that an older worker refuses what it misreads.
_FORMAT: Final = 1
_INTS: Final = (
    "generation",
    "leg_steps",
    "resumptions",
    "crashes",
    "crash_steps",
    "stalls",
    "republished",
)
#: Fields that version 0.1 did not write, and what they are when they are missing. What a later
#: version adds in the same way is passed over here.
_ADDED: Final = {"last_crash": "", "stranded": ""}
_dumps = json.JSONEncoder(separators=(",", ":")).encode
_loads = json.JSONDecoder().decode


class Unreadable(ValueError):
    """A stored field does not hold what this version writes; the message says which."""


def utf8(value: str) -> bytes:
    """``value`` as bytes; any ``str`` survives, lone surrogates included."""
    return value.encode("utf-8", "surrogatepass")


def text(value: bytes) -> str:
    """The inverse of :func:`utf8`."""
    return value.decode("utf-8", "surrogatepass")


def extra_of(record: Record) -> str:
    """The fields of ``record`` that no store looks at, as one ASCII JSON object."""
    r = record
    outcome = "null" if r.outcome is None else f'"{r.outcome.value}"'
    return (
        f'{{"format":{_FORMAT},"generation":{r.generation},"leg_steps":{r.leg_steps},'
        f'"resumptions":{r.resumptions},"crashes":{r.crashes},"crash_steps":{r.crash_steps},'
        f'"stalls":{r.stalls},"republished":{r.republished},"reason":{_dumps(r.reason)},'
        f'"outcome":{outcome},"started_at":{r.started_at!r},"stamp":{_dumps(r.stamp)}'
        f"{_added(r)}}}"
    )


def _added(record: Record) -> str:
    """Fields that are mostly empty, and then left out."""
    if not (record.last_crash or record.stranded):
        return ""
    return f',"last_crash":{_dumps(record.last_crash)},"stranded":{_dumps(record.stranded)}'


def build(fields: dict[str, Any], extra: str | bytes) -> Record:
    """Make a record of its stored parts.

    Args:
        fields: Every field of the record that is not in ``extra``; ``state`` and ``requested`` as
            text.
        extra: What :func:`extra_of` wrote.

    Raises:
        Unreadable: A part does not hold what this version writes.
    """
    try:
        rest = _checked(_loads(extra if isinstance(extra, str) else extra.decode("ascii")))
        fields["state"] = State(fields["state"])
        if fields["requested"] is not None:
            fields["requested"] = Request(fields["requested"])
        if rest["outcome"] is not None:
            rest["outcome"] = Outcome(rest["outcome"])
        return Record(**fields, **rest)
    except Unreadable:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise Unreadable(f"{type(exc).__name__}: {exc}") from exc


def _checked(rest: Any) -> dict[str, Any]:
    if not isinstance(rest, dict):
        raise Unreadable("its summary is not a JSON object")
    written_as = rest.get("format")
    if written_as != _FORMAT:
        raise Unreadable(
            f"its format is {written_as!r}, and this version of celery-graceful reads {_FORMAT}"
        )
    kept: dict[str, Any] = {name: _typed(rest, name, int) for name in _INTS}
    kept["reason"] = _typed(rest, "reason", str)
    kept["started_at"] = float(_typed(rest, "started_at", (int, float)))
    kept["stamp"] = _typed(rest, "stamp", str)
    kept["outcome"] = rest["outcome"]
    for name, missing in _ADDED.items():
        kept[name] = _typed({name: missing, **rest}, name, str)
    return kept


def _typed(rest: dict[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    value = rest[name]
    if not isinstance(value, kind):
        raise Unreadable(f"its {name} is {value!r}")
    return value

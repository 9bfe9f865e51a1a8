"""The maintenance mode as text, for the store and for broadcasts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from celery_graceful.errors import CorruptRecord, NewerRecord
from celery_graceful.model.maintenance.mode import Hold, Kind, LogEntry, Mode, Ramp, Scope
from celery_graceful.text import strict_json

SCHEMA = 1
#: How long a text may be, in characters.
LONGEST = 256 * 1024


def encode_mode(mode: Mode, *, log: bool = True) -> str:
    """The mode as JSON, without its version; for a broadcast without its log."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "holds": [
                [_scope(h.scope), h.reason, h.who, h.since, h.until, h.interrupt]
                for h in mode.holds
            ],
            "ramp": [mode.ramp.since, mode.ramp.seconds] if mode.ramp else None,
            "parked": mode.parked,
            **({"was": mode.was} if mode.was else {}),
            "log": [
                [d.at, d.who, d.verb, [_scope(s) for s in d.scopes], d.reason, d.until]
                for d in (mode.log if log else ())
            ],
        },
        separators=(",", ":"),
    )


def decode_mode(text: str, version: int) -> Mode:
    """The inverse of :func:`encode_mode`; an empty text is a mode that was never changed.

    Raises:
        CorruptRecord: it cannot be read; :exc:`NewerRecord` if a later version wrote it.
    """
    if not text:
        return Mode(version=version)
    try:
        data = strict_json.loads(text, LONGEST)
        if strict_json.whole(data["schema"], "its schema", 1) > SCHEMA:
            raise NewerRecord(
                f"The maintenance mode was written by a later version (schema {data['schema']},"
                f" this one knows {SCHEMA}): update this program"
            )
        return replace(_mode(data), version=strict_json.whole(version, "its version"))
    except (ValueError, TypeError, LookupError, ArithmeticError) as exc:
        raise CorruptRecord(
            f"The maintenance mode in the store cannot be read: {exc}; `graceful up` replaces it"
        ) from exc


def received_mode(version: Any, text: Any, least: int) -> Mode:
    """A mode that came over the broker, where anybody can write anything.

    Args:
        version: its version.
        text: the mode as text.
        least: the lowest version that is allowed; with 0 the text may be empty.

    Raises:
        ValueError: it is no mode.
        CorruptRecord: it cannot be read.
    """
    if not strict_json.text(text, "text", LONGEST) and least:
        raise ValueError("text is empty")
    return decode_mode(text, strict_json.whole(version, "version", least))


def _mode(data: dict[str, Any]) -> Mode:
    return Mode(
        holds=tuple(_hold(*hold) for hold in _list(data["holds"])),
        ramp=None if data["ramp"] is None else _ramp(*_list(data["ramp"])),
        log=tuple(_deed(*deed) for deed in _list(data["log"])),
        parked=strict_json.flag(data["parked"], "parked"),
        was=strict_json.whole(data.get("was", 0), "was"),
    )


def _hold(scope: Any, reason: Any, who: Any, since: Any, until: Any, interrupt: Any) -> Hold:
    return Hold(
        _read_scope(scope),
        strict_json.text(reason, "a reason"),
        strict_json.text(who, "who holds"),
        strict_json.number(since, "since when"),
        _time(until),
        strict_json.flag(interrupt, "whether runs are interrupted"),
    )


def _ramp(since: Any, seconds: Any) -> Ramp:
    length = strict_json.number(seconds, "the length of the ramp")
    if length == 0:
        raise ValueError("the ramp has no length")
    return Ramp(strict_json.number(since, "the start of the ramp"), length)


def _deed(at: Any, who: Any, verb: Any, scopes: Any, reason: Any, until: Any) -> LogEntry:
    return LogEntry(
        strict_json.number(at, "the time of a line of the log"),
        strict_json.text(who, "who did it"),
        strict_json.text(verb, "what was done"),
        tuple(map(_read_scope, _list(scopes))),
        strict_json.text(reason, "a reason"),
        _time(until),
    )


def _scope(scope: Scope) -> list[str]:
    return [scope.kind.value, scope.name]


def _read_scope(data: Any) -> Scope:
    kind, name = _list(data)
    return Scope(
        Kind(strict_json.text(kind, "the kind of a scope")), strict_json.text(name, "a name")
    )


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"there is a {type(value).__name__} where a list belongs")
    return value


def _time(value: Any) -> float | None:
    return None if value is None else strict_json.number(value, "until when")

"""The maintenance mode as text, for the store and for broadcasts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from celery_graceful.errors import CorruptRecord, NewerRecord
from celery_graceful.model.mode import Deed, Hold, Kind, Mode, Ramp, Scope

__all__ = ["decode_mode", "encode_mode"]

SCHEMA = 1


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
            "log": [
                [d.at, d.who, d.verb, [_scope(s) for s in d.scopes], d.reason, d.until]
                for d in (mode.log if log else ())
            ],
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def decode_mode(text: str, version: int) -> Mode:
    """The inverse of :func:`encode_mode`; nothing at all is a mode that nobody has changed.

    Raises:
        CorruptRecord: it cannot be read; :exc:`NewerRecord` if a later version wrote it.
    """
    if not text:
        return Mode(version=version)
    try:
        data = json.loads(text)
        if data["schema"] > SCHEMA:
            raise NewerRecord(
                f"The maintenance mode was written by a later version (schema {data['schema']},"
                f" this one knows {SCHEMA}): update this program"
            )
        return replace(_mode(data), version=version)
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise CorruptRecord(
            f"The maintenance mode in the store cannot be read: {exc}; `graceful up` replaces it"
        ) from exc


def _mode(data: dict[str, Any]) -> Mode:
    return Mode(
        holds=tuple(
            Hold(_read_scope(s), str(reason), str(who), float(since), _time(until), bool(interrupt))
            for s, reason, who, since, until, interrupt in data["holds"]
        ),
        ramp=Ramp(float(data["ramp"][0]), float(data["ramp"][1])) if data["ramp"] else None,
        log=tuple(
            Deed(float(at), who, verb, tuple(map(_read_scope, scopes)), reason, _time(until))
            for at, who, verb, scopes, reason, until in data["log"]
        ),
        parked=bool(data["parked"]),
    )


def _scope(scope: Scope) -> list[str]:
    return [scope.kind.value, scope.name]


def _read_scope(data: list[str]) -> Scope:
    kind, name = data
    return Scope(Kind(kind), str(name))


def _time(value: Any) -> float | None:
    return None if value is None else float(value)

"""Runs, their quarantined items, cursors, and what came of a change, as plain data."""

from __future__ import annotations

import base64
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from celery_graceful.runs.operating.changes import Change
from celery_graceful.runs.plain_run import Run
from celery_graceful.runs.quarantined_items import QuarantinedItem

#: Raised when a field changes its meaning or goes away.
SCHEMA = 1

_FIELDS = [field.name for field in fields(Run)]


def run_as_data(run: Run) -> dict[str, Any]:
    """All fields of a run, under their names."""
    return {name: plain(getattr(run, name)) for name in _FIELDS}


def item_as_data(item: QuarantinedItem) -> dict[str, Any]:
    """A quarantined item."""
    return {
        "number": item.ordinal,
        "cursor": plain(item.cursor),
        "item": item.item,
        "error": item.error,
        "traceback": item.traceback,
        "at": item.at,
    }


def change_as_data(verb: str, change: Change, undo: str | None) -> dict[str, Any]:
    """What came of a change, and the command that undoes it."""
    return {
        "verb": verb,
        "verdict": str(change.verdict),
        "why": change.why,
        "trouble": change.trouble or None,
        "note": change.note or None,
        "before": change.before.state,
        "run": run_as_data(change.run),
        "sent": change.sent,
        "items": change.items,
        "undo": undo,
    }


def plain(value: Any) -> Any:
    """A cursor, a carry or a part of one in JSON's types.

    Text, whole numbers, floats, booleans and ``None`` stay what they are. Tuples become lists;
    moments ISO 8601 text; spans seconds; decimals and UUIDs text; bytes Base64. A dict becomes an
    object, or, if a key is not text, a list of pairs. So does a data class, under its names.
    """
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: plain(each) for key, each in value.items()}
        return [[plain(key), plain(each)] for key, each in value.items()]
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    return value

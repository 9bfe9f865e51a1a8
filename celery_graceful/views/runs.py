"""Runs, their quarantined items, and what came of a change, as plain data."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from celery_graceful.runs.api import Replay
from celery_graceful.runs.operate import Change
from celery_graceful.runs.plain_run import Run
from celery_graceful.runs.quarantined_items import QuarantinedItem
from celery_graceful.views.plain import plain

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
        "run": run_as_data(change.run),
        "undo": undo,
    }


def replay_as_data(replay: Replay) -> dict[str, Any]:
    """The task that was sent to try items again."""
    return {"verb": "replay", "run": replay.run.id, "sent": replay.sent, "items": replay.items}

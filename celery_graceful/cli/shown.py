"""Runs as people and as programs read them."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Any

from celery_graceful.durations import format_seconds
from celery_graceful.errors import CursorError
from celery_graceful.model.run.cursor import Checkpoint, decode
from celery_graceful.runs.control import Run
from celery_graceful.runs.quarantined_items import QuarantinedItem
from celery_graceful.text.counting import counted

#: Raised when a field of the JSON output changes its meaning or goes away.
SCHEMA = 1

HEADINGS = ("task", "id", "state", "items", "cursor", "generation", "crashes", "age")
#: What a narrow terminal does without, in this order.
SPARE = ("generation", "crashes", "age", "cursor")
_CURSOR_WIDTH = 40
_ERROR_WIDTH = 80


def as_row(run: Run, run_id: str = "") -> tuple[str, ...]:
    """One line of the table, under :data:`HEADINGS`.

    Args:
        run_id: a shorter one that names it as well.
    """
    record = run.record
    return (
        run.key.task,
        run_id or run.key.id,
        _state(run),
        _items(run),
        _short(_cursor(run)),
        str(record.generation),
        str(record.crashes_without_progress),
        _age(run),
    )


def as_details(run: Run) -> list[tuple[str, str]]:
    """Everything about one run that a person may want to know."""
    record = run.record
    checkpoint = _checkpoint(run)
    carry = checkpoint.carry if checkpoint is not None else None
    lines = [
        ("task", run.key.task),
        ("id", run.key.id),
        ("state", _state(run)),
        ("items", _items(run)),
        ("cursor", _cursor(run)),
        ("carry", repr(carry) if carry else "–"),
        ("carried by", record.owner or "nobody"),
        ("asked to", str(record.requested) if record.requested else "–"),
        ("last stop", record.reason or "–"),
        ("resumptions", str(record.resumptions)),
        ("generation", str(record.generation)),
        ("crashes", _crashes(run)),
        ("not taken", counted(record.republished, "time")),
        ("unroutable", record.unroutable or "–"),
        ("age", _age(run)),
    ]
    if record.due_at is not None:
        left = record.due_at - run.now
        due = format_seconds(round(abs(left), 1))
        what = "lease ends" if record.owner else "sent again"
        lines.append((what, f"in {due}" if left > 0 else f"since {due}, as soon as a worker looks"))
    return lines


def one_line(run: Run) -> str:
    """The run in a sentence."""
    record = run.record
    by = f", carried by {record.owner}" if record.owner else ""
    return f"{run.key}: {_state(run)}{by}, {_items_done(run)}, cursor {_short(_cursor(run))}"


def as_data(run: Run) -> dict[str, Any]:
    """The run as JSON's types; the cursor as Python writes it."""
    record = run.record
    checkpoint = _checkpoint(run)
    return {
        "task": run.key.task,
        "id": run.key.id,
        "state": str(record.state),
        "outcome": str(record.outcome) if record.outcome else None,
        "overdue": run.overdue,
        "orphaned": run.orphaned,
        "items": record.steps,
        "total": checkpoint.total if checkpoint is not None else None,
        "cursor": _cursor(run) if record.checkpoint is not None else None,
        "carry": repr(checkpoint.carry) if checkpoint is not None else None,
        "owner": record.owner,
        "requested": str(record.requested) if record.requested else None,
        "reason": record.reason or None,
        "generation": record.generation,
        "resumptions": record.resumptions,
        "crashes": record.crashes_without_progress,
        "last_crash": record.last_crash or None,
        "republished": record.republished,
        "unroutable": record.unroutable or None,
        "started_at": record.started_at or None,
    }


ITEM_HEADINGS = ("number", "cursor", "item", "error", "at")


def item_as_row(item: QuarantinedItem) -> tuple[str, ...]:
    """One line of the table of quarantined items, under :data:`ITEM_HEADINGS`."""
    at = datetime.fromtimestamp(item.at, timezone.utc).isoformat(sep=" ", timespec="seconds")
    error = item.error if len(item.error) <= _ERROR_WIDTH else item.error[: _ERROR_WIDTH - 1] + "…"
    return (str(item.ordinal), _short(repr(item.cursor)), _short(item.item), error, at)


def item_as_data(item: QuarantinedItem) -> dict[str, Any]:
    """An quarantined item as JSON's types; the cursor as Python writes it."""
    return {
        "number": item.ordinal,
        "cursor": repr(item.cursor),
        "item": item.item,
        "error": item.error,
        "traceback": item.traceback,
        "at": item.at,
    }


def _state(run: Run) -> str:
    record = run.record
    if record.outcome is not None and not record.live:
        return f"ended, {record.outcome}"
    if record.unroutable:
        return f"{record.state}, unroutable"
    if run.orphaned:
        return f"{record.state}, orphaned"
    if run.overdue:
        return f"{record.state}, lease over"
    return f"{record.state}, asked to {record.requested}" if record.requested else f"{record.state}"


def _crashes(run: Run) -> str:
    record = run.record
    last = f"the last one: {record.last_crash}"
    if record.crashes_without_progress:
        return f"{record.crashes_without_progress} in a row without progress, {last}"
    return f"none since the run last got further; {last}" if record.last_crash else "none"


def _items(run: Run) -> str:
    checkpoint = _checkpoint(run)
    total = checkpoint.total if checkpoint is not None else None
    return str(run.record.steps) if total is None else f"{run.record.steps}/{total}"


def _items_done(run: Run) -> str:
    items = _items(run)
    return f"{items} {'item' if items == '1' else 'items'} done"


def _checkpoint(run: Run) -> Checkpoint | None:
    text = run.record.checkpoint
    if text is None:
        return None
    try:
        return decode(text)
    except CursorError:
        return None  # shown as unreadable, in its place


def _cursor(run: Run) -> str:
    if run.record.checkpoint is None:
        return "–"
    checkpoint = _checkpoint(run)
    return "unreadable" if checkpoint is None else repr(checkpoint.cursor)


def _short(text: str) -> str:
    return text if len(text) <= _CURSOR_WIDTH else "…" + text[1 - _CURSOR_WIDTH :]


def _age(run: Run) -> str:
    started = run.record.started_at
    if not started:
        return "–"
    seconds = max(0, int(time.time() - started))
    # Two units are enough for people.
    return " ".join(format_seconds(seconds).split()[:2])

"""Runs and their quarantined items as people read them."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from typing import Any

from celery_graceful.durations import short
from celery_graceful.runs.plain_run import Run
from celery_graceful.runs.quarantined_items import QuarantinedItem
from celery_graceful.text.counting import counted
from celery_graceful.views.runs import plain

HEADINGS = ("task", "id", "state", "items", "cursor", "generation", "crashes", "age")
#: What a narrow terminal does without, in this order.
SPARE = ("generation", "crashes", "age", "cursor")
ITEM_HEADINGS = ("number", "cursor", "item", "error", "at")
_CURSOR_WIDTH = 40
_ERROR_WIDTH = 80


def run_row(run: Run, run_id: str = "") -> tuple[str, ...]:
    """One line of the table, under :data:`HEADINGS`.

    Args:
        run_id: a shorter id that names it as well.
    """
    return (
        run.task,
        run_id or run.id,
        run_state(run),
        _items(run),
        _tail(_cursor(run)),
        str(run.generation),
        str(run.crashes),
        _age(run),
    )


def run_sentence(run: Run) -> str:
    """The run in a sentence."""
    by = f", owned by {run.worker}" if run.worker else ""
    items = _items(run)
    done = f"{items} {'item' if items == '1' else 'items'} done"
    return f"{run}: {run_state(run)}{by}, {done}, cursor {_tail(_cursor(run))}"


def item_row(item: QuarantinedItem) -> tuple[str, ...]:
    """One line of the table of quarantined items, under :data:`ITEM_HEADINGS`."""
    at = datetime.fromtimestamp(item.at, timezone.utc).isoformat(sep=" ", timespec="seconds")
    error = item.error if len(item.error) <= _ERROR_WIDTH else item.error[: _ERROR_WIDTH - 1] + "…"
    return (str(item.ordinal), _tail(as_json(item.cursor)), _tail(item.item), error, at)


def run_state(run: Run) -> str:
    """The state, and what is unusual about it."""
    if run.ended:
        return run.state
    if run.unroutable:
        return f"{run.state}, unroutable"
    if run.orphaned:
        return f"{run.state}, orphaned"
    if run.overdue:
        return f"{run.state}, lease expired"
    return f"{run.state}, asked to {run.requested}" if run.requested else run.state


def progress_words(run: Run) -> str:
    """How far it is: ``42 of 100 items (42 %)``, ``1 item``."""
    if run.total is None:
        return counted(run.steps, "item")
    share = "" if run.percent is None else f" ({int(run.percent)} %)"
    return f"{run.steps} of {counted(run.total, 'item')}{share}"


def _items(run: Run) -> str:
    return str(run.steps) if run.total is None else f"{run.steps}/{run.total}"


def _cursor(run: Run) -> str:
    if run.unreadable:
        return "unreadable"
    return "–" if run.carry is None else as_json(run.cursor)


def as_json(value: Any) -> str:
    """A cursor or a carry, as JSON shows it."""
    return json.dumps(plain(value), ensure_ascii=False)


def _tail(text: str) -> str:
    """The end of a long text, where cursors differ."""
    return text if len(text) <= _CURSOR_WIDTH else "…" + text[1 - _CURSOR_WIDTH :]


def _age(run: Run) -> str:
    if run.started_at is None:
        return "–"
    return short(time.time() - run.started_at)

"""Adjusting a run under way: what its executions work with, and how their messages go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from celery_graceful._celery.message.envelope import pack, unpack
from celery_graceful.durations import parse
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.history import Action
from celery_graceful.model.run.record import Record
from celery_graceful.model.run_options import Adjustments, read_adjustments
from celery_graceful.runs.lookup import Found
from celery_graceful.runs.plain_run import queue_of
from celery_graceful.runtime import Runtime


def adjust_event(
    runtime: Runtime, found: Found, by: Action, expected: str, **changes: Any
) -> ev.Event:
    """The event that adjusts a run.

    Raises:
        ValueError: a value cannot be what it is, or nothing is given.
        TypeError: there is nothing of that name to adjust.
        CorruptRecord: its message cannot be read.
    """
    record = found.record
    given = _given(changes)
    adjusted = read_adjustments(record.adjusted).with_changes(given)
    envelope, moves = record.envelope, False
    if record.envelope and ("queue" in given or "priority" in given):
        before = unpack(record.envelope)
        queue = "" if adjusted.queue == queue_of(runtime, record) else adjusted.queue
        after = before.adjusted(queue, adjusted.priority)
        envelope, moves = pack(after), after != before
    by = replace(by, change=", ".join(f"{name} {value}" for name, value in given.items()))
    return ev.Adjust(record.generation, adjusted.text(), envelope, moves, by=by, expected=expected)


def before_adjusting(runtime: Runtime, found: Found, changes: dict[str, Any]) -> dict[str, Any]:
    """What was in force of that which is changed: adjusting to it undoes the change."""
    record = found.record
    now = read_adjustments(record.adjusted)
    before: dict[str, Any] = {
        "checkpoint_interval": now.checkpoint_interval,
        "batch_size": now.batch_size,
        "queue": queue_of(runtime, record),
        "priority": _priority(record),
    }
    return {name: before[name] for name in _given(changes) if name in before}


def _given(changes: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in changes.items() if value is not None}
    if not given:
        names = ", ".join(Adjustments.__dataclass_fields__)
        raise ValueError(f"adjust: nothing is given to change; give one of {names}")
    if "checkpoint_interval" in given:
        given["checkpoint_interval"] = parse(given["checkpoint_interval"])
    return given


def _priority(record: Record) -> int | None:
    return unpack(record.envelope).properties.get("priority") if record.envelope else None

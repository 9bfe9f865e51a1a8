"""A record as a row of the SQL store."""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping

from celery_graceful.model.run.record import Record, Request, replace
from celery_graceful.stores.codec import Unreadable, build, extra_of, text, utf8, whole


def parameters_of(record: Record) -> dict[str, Any]:
    """The parameters of a writing statement, without version and times.

    Cursors and results go in as bytes, since not every database takes every ``str``.
    """
    return {
        "new_state": record.state.value,
        "new_fence": record.fence,
        "new_owner": record.owner,
        "new_checkpoint": None if record.checkpoint is None else utf8(record.checkpoint),
        "new_steps": record.steps,
        "new_requested": None if record.requested is None else record.requested.value,
        "new_result": None if record.result is None else utf8(record.result),
        "new_envelope": record.envelope or None,
        "new_extra": extra_of(record),
    }


def record_of(row: RowMapping) -> Record:
    """The record in a row; raises :exc:`Unreadable`."""
    try:
        flat = {
            "version": whole(row["version"]),
            "state": row["state"],
            "fence": whole(row["fence"]),
            "owner": row["owner"],
            "due_at": None if row["due_at"] is None else float(row["due_at"]),
            "checkpoint": _text(row["checkpoint"]),
            "steps": whole(row["steps"]),
            "requested": row["requested"],
            "result": _text(row["result"]),
            "envelope": bytes(row["envelope"] or b""),
        }
        extra = row["extra"]
        if not isinstance(extra, str):
            raise Unreadable("its summary is no text")
    except Unreadable:
        raise
    except (ValueError, TypeError, AttributeError, ArithmeticError) as exc:
        raise Unreadable(str(exc)) from exc
    record = build(flat, extra)
    if row["expires_at"] is None or not record.kept_for:
        return record
    try:
        return replace(record, ended_at=float(row["expires_at"]) - record.kept_for)
    except (ValueError, TypeError) as exc:
        raise Unreadable(str(exc)) from exc


def request_of(value: str | None) -> Request | None:
    """The request in a column; raises :exc:`Unreadable`."""
    try:
        return None if value is None else Request(value)
    except ValueError as exc:
        raise Unreadable(str(exc)) from exc


def _text(value: bytes | None) -> str | None:
    return None if value is None else text(value)

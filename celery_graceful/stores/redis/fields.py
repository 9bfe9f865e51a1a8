"""A record as the fields of a Redis hash; the names are explained in ``redis_scripts``."""

from __future__ import annotations

from celery_graceful.model.run.record import Record, Request, State
from celery_graceful.stores.codec import Unreadable, build, extra_of, text, utf8, whole

_STATES = {state: state.value.encode() for state in State}


def fields_of(record: Record) -> list[bytes]:
    """Names and values by turns, without version and due_at: the script adds those.

    All bytes, as the line takes nothing else.
    """
    flat = [
        b"s",
        _STATES[record.state],
        b"f",
        b"%d" % record.fence,
        b"n",
        b"%d" % record.steps,
        b"m",
        extra_of(record).encode(),
    ]
    if record.owner is not None:
        flat += (b"o", utf8(record.owner))
    if record.checkpoint is not None:
        flat += (b"c", utf8(record.checkpoint))
    if record.requested is not None:
        flat += (b"q", record.requested.value.encode())
    if record.result is not None:
        flat += (b"r", utf8(record.result))
    if record.envelope:
        flat += (b"e", record.envelope)
    return flat


def record_of(fields: list[bytes | None]) -> Record:
    """The record that a script answered; raises :exc:`Unreadable`."""
    (
        version,
        state,
        fence,
        owner,
        due_at,
        checkpoint,
        steps,
        requested,
        result,
        envelope,
        extra,
        ended_at,
    ) = fields
    if version is None or state is None or fence is None or steps is None or extra is None:
        raise Unreadable("a field is missing")
    try:
        flat = {
            "version": whole(version),
            "state": text(state),
            "fence": whole(fence),
            "owner": _text(owner),
            "due_at": None if due_at is None else float(due_at),
            "checkpoint": _text(checkpoint),
            "steps": whole(steps),
            "requested": _text(requested),
            "result": _text(result),
            "envelope": envelope or b"",
            "ended_at": None if ended_at is None else float(ended_at),
        }
    except ValueError as exc:
        raise Unreadable(str(exc)) from exc
    return build(flat, extra)


def request_of(value: bytes | None) -> Request | None:
    """The request in a field; raises :exc:`Unreadable`."""
    try:
        return None if value is None else Request(text(value))
    except ValueError as exc:
        raise Unreadable(str(exc)) from exc


def _text(value: bytes | None) -> str | None:
    return None if value is None else text(value)

"""Continuing a run that has ended, or rewinding one: what its message and checkpoint are then."""

from __future__ import annotations

from typing import Any

from celery_graceful._celery.message.bodies import for_another_try
from celery_graceful._celery.message.envelope import pack, unpack
from celery_graceful.errors import RunRefused
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.history import Action
from celery_graceful.model.run.record import Outcome, Record
from celery_graceful.model.run_options import readable_options
from celery_graceful.runs.lookup import Found
from celery_graceful.runs.oneoff.once import read_claim
from celery_graceful.runs.operating.rewinding import UNCHANGED, rewound
from celery_graceful.runtime import Runtime


def retry_event(runtime: Runtime, found: Found, by: Action, expected: str) -> ev.Event:
    """The event that continues a run at its checkpoint.

    Raises:
        RunRefused: the run was started once, and its key is another run's meanwhile.
        CorruptRecord: its message cannot be read.
    """
    _check_key(runtime, found)
    message = _message(runtime, found.record)
    return ev.Retry(found.record.generation, message, by=by, expected=expected)


def rewind_event(
    runtime: Runtime,
    found: Found,
    by: Action,
    expected: str,
    *,
    cursor: Any,
    carry: Any = UNCHANGED,
) -> ev.Event:
    """The same behind another cursor; ``None``: from the beginning, with an empty carry."""
    _check_key(runtime, found)
    checkpoint = rewound(runtime, found, cursor, carry)
    message = _message(runtime, found.record)
    return ev.Retry(
        found.record.generation,
        message,
        rewinds=True,
        checkpoint=checkpoint,
        by=by,
        expected=expected,
    )


def _message(runtime: Runtime, record: Record) -> bytes:
    if record.live or not record.envelope:
        return record.envelope
    message = unpack(record.envelope)
    failed = record.outcome is Outcome.FAILED
    return pack(for_another_try(runtime.app, message, failed=failed))


def _check_key(runtime: Runtime, found: Found) -> None:
    """One run of a key completes: not this one, if a later one has the key."""
    key = readable_options(found.record.options).once
    if not key or found.record.live:
        return
    claim = read_claim(runtime.store, key)
    if claim is not None and claim.run != found.key:
        raise RunRefused(
            f"{found.key} was started once for the key {key!r}, which is that of {claim.run}"
            " meanwhile. Fork it, if both are to run."
        )

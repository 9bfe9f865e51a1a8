"""What a worker answers to ``celery inspect graceful``, and the broadcast of a new mode."""

from __future__ import annotations

import json
from typing import Any

from celery.worker.control import Panel, control_command, inspect_command

from celery_graceful.errors import CorruptRecord
from celery_graceful.maintenance.control import COMMAND
from celery_graceful.maintenance.report import encode_report
from celery_graceful.model.mode_text import decode_mode
from celery_graceful.worker.vitals import vitals

__all__ = ["INSPECT", "register"]

#: The name of the command that asks.
INSPECT = "graceful"


def register() -> None:
    """Make the commands known to this process: a worker, or ``celery inspect``."""
    if INSPECT in Panel.meta:
        return
    inspect_command(name=INSPECT)(graceful)
    control_command(name=COMMAND, visible=False)(graceful_maintenance)


def graceful(state: Any, **_: Any) -> dict[str, Any]:
    """What the maintenance mode means for this worker, what it runs, and what the doctor asks."""
    attendant = _attendant(state)
    if attendant is None:
        return {"error": "this worker's app has no Graceful(app)"}
    report = encode_report(attendant.report())  # with its schema
    return {
        "namespace": attendant.runtime.namespace,
        "report": json.loads(report),
        "vitals": vitals(state.consumer.controller),
    }


def graceful_maintenance(
    state: Any, namespace: str = "", version: int = 0, text: str = "", **_: Any
) -> dict[str, Any]:
    """A new maintenance mode; what does not come through is read from the store soon after."""
    attendant = _attendant(state)
    if attendant is None or namespace != attendant.runtime.namespace:
        return {"ok": "not for this worker"}
    try:
        attendant.watch.learn(decode_mode(text, version))
    except CorruptRecord as exc:
        return {"error": str(exc)}
    return {"ok": f"maintenance mode {version}"}


def _attendant(state: Any) -> Any:
    return getattr(state.consumer.controller, "graceful_attendant", None)

"""What a worker answers to ``celery inspect graceful``, and the broadcast of a new mode."""

from __future__ import annotations

import json
import logging
from typing import Any

from celery.worker.control import Panel, control_command, inspect_command

from celery_graceful.errors import CorruptRecord
from celery_graceful.maintenance.mode_changes import COMMAND
from celery_graceful.maintenance.workers import encode_report
from celery_graceful.model.maintenance.mode_text import received_mode
from celery_graceful.runtime import namespace_in
from celery_graceful.worker.contained import failure_of
from celery_graceful.worker.maintenance.peers import SEND_BACK
from celery_graceful.worker.vitals import vitals

#: The name of the command that asks.
INSPECT = "graceful"
NOT_FOR_THIS_WORKER = {"ok": "not for this worker"}

logger = logging.getLogger("celery_graceful.maintenance")
#: Not empty once a message that is no mode was logged: its sender may send many.
_logged: list[bool] = []


def register() -> None:
    """Make the commands known to this process: a worker, or ``celery inspect``."""
    if INSPECT in Panel.meta:
        return
    inspect_command(name=INSPECT)(graceful)
    control_command(name=COMMAND, visible=False)(graceful_maintenance)
    control_command(name=SEND_BACK, visible=False)(graceful_send_back)


def graceful(state: Any, **_: Any) -> dict[str, Any]:
    """What the maintenance mode means for this worker, what it runs, and what the doctor asks."""
    maintenance = _maintenance_of(state)
    if maintenance is None:
        failure = failure_of(state.consumer.controller)
        if failure:
            return {"namespace": namespace_in(state.app), "failure": failure}
        return {"error": "this worker's app has no Graceful(app)"}
    return {
        "namespace": maintenance.runtime.namespace,
        "mode": maintenance.known_mode(),
        "starts_runs": maintenance.starts_runs,
        "report": json.loads(encode_report(maintenance.report())),  # with its schema
        "vitals": vitals(state.consumer.controller),
    }


def graceful_maintenance(
    state: Any, namespace: Any = "", version: Any = 0, text: Any = "", **_: Any
) -> dict[str, Any]:
    """A new maintenance mode; what does not come through is read from the store soon after."""
    maintenance = _maintenance_of(state)
    if maintenance is None or namespace != maintenance.runtime.namespace:
        return NOT_FOR_THIS_WORKER
    try:
        mode = received_mode(version, text, least=1)
    except (CorruptRecord, ValueError) as exc:
        if not _logged:
            _logged.append(True)
            logger.warning(
                "A control message %s is ignored, as are others like it; the mode in the store"
                " counts: %s",
                COMMAND,
                exc,
            )
        return {"error": str(exc)}
    maintenance.watch.learn(mode)
    return {"ok": f"maintenance mode {version}"}


def graceful_send_back(state: Any, namespace: Any = "", **_: Any) -> dict[str, Any]:
    """Another worker, on which no run can start, has parked some."""
    maintenance = _maintenance_of(state)
    if maintenance is None or namespace != maintenance.runtime.namespace:
        return NOT_FOR_THIS_WORKER
    maintenance.run_parking.asked()
    return {"ok": "parked runs are sent back"}


def _maintenance_of(state: Any) -> Any:
    return getattr(state.consumer.controller, "graceful_maintenance", None)

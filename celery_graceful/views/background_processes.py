"""Background processes of an app on this host, as plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from celery_graceful.errors import ProcessError
from celery_graceful.processes.registry import entries
from celery_graceful.text.masking import mask_text


def processes_as_data(app: str) -> tuple[list[dict[str, Any]], str]:
    """The processes of an app, by its namespace.

    Returns:
        The processes, and why the registry cannot be read; empty when it can.
    """
    try:
        found = entries(app)
    except (OSError, ProcessError) as exc:
        return [], str(exc)
    return [{**asdict(entry), "command": mask_text(entry.command)} for entry in found], ""

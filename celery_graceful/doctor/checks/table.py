"""All checks, in the order of their ids."""

from __future__ import annotations

from celery_graceful.doctor.checks import (
    acks,
    broker,
    files,
    limits,
    plugin,
    pods,
    running,
    signals,
    starts,
    store,
    timing,
    told,
)
from celery_graceful.doctor.checks.base import Check

#: Those that look at a scene.
LOOKING: tuple[Check, ...] = (
    *plugin.CHECKS,
    *timing.CHECKS,
    *told.CHECKS,
    *signals.CHECKS,
    *starts.CHECKS,
    *pods.CHECKS,
    *acks.CHECKS,
    *broker.CHECKS,
    *limits.CHECKS,
    *store.CHECKS,
    *running.CHECKS,
)
ALL: tuple[Check, ...] = (
    files.UNREADABLE,
    files.NO_WORKER,
    files.OTHER_APP,
    files.NOT_ASKED,
    files.MISSING,
    *LOOKING,
)


def reference_markdown() -> str:
    """Every check with what it finds, why it hurts, and what fixes it, for the reference."""
    lines = ["| id | | finds | why it hurts | fix |", "|---|---|---|---|---|"]
    for check in ALL:
        cells = (check.id, check.severity.word, check.about, check.why, check.fix)
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"

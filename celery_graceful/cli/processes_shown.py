"""Background processes of an app on this host, as the registry has them."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from celery_graceful.cli.output import print_table, say
from celery_graceful.durations import short
from celery_graceful.processes.registry import Entry, entries
from celery_graceful.text.masking import mask_text

HEADINGS = ("Background process", "Task", "Started by", "For")


def on_this_host(app: str) -> list[Entry]:
    """Those of an app, by its namespace; an unreadable registry is reported on stderr."""
    from celery_graceful.errors import ProcessError

    try:
        return entries(app)
    except (OSError, ProcessError) as exc:
        say(f"The registry of background processes cannot be read: {exc}", err=True)
        return []


def print_processes(app: str) -> None:
    """A table of the app's processes, if there are any on this host."""
    found = on_this_host(app)
    if found:
        say()
        print_table(HEADINGS, [_as_row(entry, time.time()) for entry in found])


def as_data(app: str) -> list[dict[str, Any]]:
    """The same for scripts."""
    return [{**asdict(entry), "command": mask_text(entry.command)} for entry in on_this_host(app)]


def _as_row(entry: Entry, now: float) -> list[str]:
    outside = entry.task in ("", "-")  # of any task
    task = "-" if outside else f"{entry.task}[{entry.task_id}]"
    return [
        mask_text(entry.command),
        task,
        f"pid {entry.owner}",
        short(max(0.0, now - entry.since)),
    ]

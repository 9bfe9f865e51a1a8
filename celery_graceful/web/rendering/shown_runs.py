"""Runs as pages show them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from celery_graceful.runs.plain_run import Run
from celery_graceful.web.rendering.shown_values import tail

if TYPE_CHECKING:
    from celery_graceful.web.page_context import Context

#: Ids that can be the last part of a path as they are.
_PLAIN_ID = re.compile(r"[A-Za-z0-9][\w.:@~+-]{0,200}", re.ASCII)
#: A state by its kind, which has a colour, and its sign, for those who see none.
_SIGNS = {
    "queued": ("waiting", "○"),
    "running": ("running", "●"),
    "interrupted": ("waiting", "◌"),
    "retrying": ("waiting", "↻"),
    "throttled": ("waiting", "◔"),
    "waiting_for_shards": ("waiting", "⋯"),
    "paused": ("paused", "‖"),
    "finishing": ("running", "◕"),
    "completed": ("completed", "✓"),
    "failed": ("failed", "✕"),
    "cancelled": ("cancelled", "⊘"),
}
#: Characters of an id that are shown in a table.
_SHORT = 8


@dataclass(frozen=True, slots=True)
class ShownState:
    """A state: its name, its kind and its sign."""

    name: str
    kind: str
    mark: str


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in the table."""

    run: Run
    state: ShownState
    short_id: str
    url: str
    #: ``task[id]``, in which no character does something.
    field: str
    why: str


def state_of(run: Run) -> ShownState:
    """The state of a run as it is shown."""
    kind, mark = _SIGNS.get(run.state, ("waiting", "·"))
    return ShownState(run.state.replace("_", " "), kind, mark)


def run_rows(context: Context, runs: tuple[Run, ...]) -> list[RunRow]:
    """The rows of a table; ids as short as still differ in it."""
    ids = _short_ids([run.id for run in runs])
    return [
        RunRow(run, state_of(run), short, run_url(context, run), quoted(str(run)), why(run))
        for run, short in zip(runs, ids, strict=True)
    ]


def run_url(context: Context, run: Run) -> str:
    """The address of a run's page."""
    return run_page(context, run.task, run.id)


def run_page(context: Context, task: str, run_id: str) -> str:
    """The address of a run's page.

    An id with other characters than usual is a parameter: browsers and proxies change paths.
    """
    if _PLAIN_ID.fullmatch(run_id):
        return context.url(f"/runs/{run_id}")
    return context.url("/runs/", id=f"{task}[{run_id}]")


def quoted(text: str) -> str:
    """A text for a hidden field, which keeps every character."""
    return quote(text, safe="", errors="surrogatepass")


def why(run: Run) -> str:
    """Why a run is as it is, in a few words."""
    if run.ended:
        return run.reason or ""
    if run.unroutable:
        return "unroutable"
    if run.orphaned:
        return "its message is late"
    if run.overdue:
        return "lease expired"
    if run.requested:
        return f"asked to {run.requested}"
    return run.reason or ""


def _short_ids(ids: list[str]) -> list[str]:
    short = [one[:_SHORT] for one in ids]
    return [
        prefix if short.count(prefix) == 1 else tail(one, 24)
        for one, prefix in zip(ids, short, strict=True)
    ]

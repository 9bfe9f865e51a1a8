"""Runs as pages show them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from celery_graceful.runs.plain_run import Run
from celery_graceful.views.waiting import Situation, situation_of, why_not_moving
from celery_graceful.views.waiting.situation import PENDING
from celery_graceful.web.rendering.shown_values import node_name, tail

if TYPE_CHECKING:
    from celery_graceful.web.page_context import Context

#: Seconds that workers, queues and the maintenance mode are shown without reading the store.
SITUATION_LASTS = 12.0
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
#: Characters of a run's name in an address: each may take nine there.
_LONGEST_NAME = 1000
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
    executions: int
    #: The node name of its worker, of a run that was ended too.
    worker: str


def state_of(run: Run) -> ShownState:
    """The state of a run as it is shown."""
    kind, mark = _SIGNS.get(run.state, ("waiting", "·"))
    return ShownState(run.state.replace("_", " "), kind, mark)


def situation_for(context: Context, runs: Sequence[Run]) -> Situation | None:
    """What is known around these runs; ``None``: all have ended, and nothing was read."""
    live = [run for run in runs if not run.ended]
    if not live:
        return None
    queues = frozenset((run.task, run.queue) for run in live if run.state in PENDING)
    return context.snapshot(
        ("situation", queues), SITUATION_LASTS, lambda: situation_of(context.runtime, live)
    )


def run_rows(context: Context, runs: Sequence[Run], situation: Situation | None) -> list[RunRow]:
    """The rows of a table; ids as short as still differ in it."""
    ids = _short_ids([run.id for run in runs])
    return [
        RunRow(
            run=run,
            state=state_of(run),
            short_id=short,
            url=run_url(context, run),
            field=quoted(str(run)),
            why=why(run, situation),
            executions=executions_of(run),
            worker=worker_of(run),
        )
        for run, short in zip(runs, ids, strict=True)
    ]


def executions_of(run: Run) -> int:
    """How many executions there were, the one under way included."""
    return len(run.executions) and max(len(run.executions), run.resumptions + 1)


def worker_of(run: Run) -> str:
    """The node name of the worker that owns it, or owned it last."""
    last = run.executions[-1].worker if run.executions else None
    return node_name(run.worker or last or "–")


def run_url(context: Context, run: Run) -> str:
    """The address of a run's page."""
    return run_page(context, run.task, run.id)


def run_page(context: Context, task: str, run_id: str) -> str:
    """The address of a run's page.

    An id with other characters than usual is a parameter: browsers and proxies change paths.
    """
    if _PLAIN_ID.fullmatch(run_id):
        return context.url(f"/runs/{run_id}")
    if len(task) + len(run_id) > _LONGEST_NAME:
        return context.url("/runs/", id=run_id[:_LONGEST_NAME])  # its beginning names it as well
    return context.url("/runs/", id=f"{task}[{run_id}]")


def quoted(text: str) -> str:
    """A text for a hidden field, which keeps every character."""
    return quote(text, safe="", errors="surrogatepass")


def why(run: Run, situation: Situation | None) -> str:
    """Why a run is as it is: what it waits for, or why it ended."""
    if run.ended or situation is None:
        if run.state == "failed" and run.error is not None:
            return f"{run.error.type}: {run.error.message}"
        return run.reason or ""
    return why_not_moving(run, situation) or ""


def _short_ids(ids: list[str]) -> list[str]:
    short = [one[:_SHORT] for one in ids]
    return [
        prefix if short.count(prefix) == 1 else tail(one, 24)
        for one, prefix in zip(ids, short, strict=True)
    ]

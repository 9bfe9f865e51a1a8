"""``graceful runs --watch``: what each look reads."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import OpenApp
from celery_graceful.cli.exit_codes import INTERRUPTED
from celery_graceful.cli.show.filter_options import described, listed
from celery_graceful.cli.show.live.loop import watch
from celery_graceful.cli.show.live.runs_frame import RunsSeen, runs_frame
from celery_graceful.cli.show.live.screens import lines_here
from celery_graceful.views.waiting import Situation, situation_of, why_not_moving
from celery_graceful.views.waiting.wording import held_words

if TYPE_CHECKING:
    from celery_graceful.cli.show.live.spans import Line
    from celery_graceful.runs.plain_run import Run
    from celery_graceful.stores.tabs import Counts

#: Runs that are read where nothing says how many can be shown.
_MOST = 50
#: Pages that one look reads where few runs fit the filters.
_PAGES = 10
#: Ids whose short forms are remembered.
_MOST_KNOWN = 5000


def watch_runs(
    ctx: click.Context,
    at: OpenApp,
    interval: float,
    limit: int | None,
    given: dict[str, str],
    arguments: dict[str, Any],
) -> None:
    """Draw the runs again and again; ends with an exit code.

    Args:
        interval: seconds between two looks.
        limit: how many runs at most; ``None``: as many as fit.
        given: filters, as they were written.
        arguments: the same, as ``graceful.runs.list`` takes them.
    """
    look = _Look(at, limit, given, arguments)
    try:
        watch(look, _frame, interval)
    except KeyboardInterrupt:
        ctx.exit(INTERRUPTED)


def _frame(seen: RunsSeen, trouble: str, width: int | None, height: int | None) -> list[Line]:
    return runs_frame(replace(seen, trouble=trouble), width, height)


class _Look:
    """Reads the runs, and what is known around them."""

    def __init__(
        self, at: OpenApp, limit: int | None, given: dict[str, str], arguments: dict[str, Any]
    ) -> None:
        self._at = at
        self._limit = limit
        self._arguments = arguments
        filters = f", {described(given)}" if given else ""
        self._title = f"Runs of {at.runtime.namespace}{filters}"
        #: Ids that are shortened once: the store is asked for each of them.
        self._short: dict[tuple[str, str], str] = {}

    def __call__(self) -> RunsSeen:
        limit = self._limit or lines_here() or _MOST
        page = listed(self._at, limit, self._arguments, _PAGES)
        runs = page.items
        situation = situation_of(self._at.runtime, runs, command=self._at.command)
        ids, whys = self._ids(runs), [why_not_moving(run, situation) for run in runs]
        return RunsSeen(
            title=self._title,
            runs=runs,
            ids=ids,
            whys=[
                why and why.replace(run.id, short_id)
                for run, short_id, why in zip(runs, ids, whys, strict=True)
            ],
            more=page.next is not None,
            counts=_counted(self._at.runs.counts()),
            held=_held(situation),
            at=time.strftime("%H:%M:%S"),
        )

    def _ids(self, runs: tuple[Run, ...]) -> list[str]:
        if len(self._short) > _MOST_KNOWN:
            self._short.clear()
        new = [run for run in runs if (run.task, run.id) not in self._short]
        found = zip(new, self._at.runs.short_ids(new), strict=True) if new else ()
        self._short |= {(run.task, run.id): short for run, short in found}
        return [self._short[run.task, run.id] for run in runs]


def _counted(counts: Counts) -> str:
    """``12 active, 3 paused, 1 failed, 100,000+ ended``."""
    parts = (
        f"{getattr(counts, name):,}{'+' if name in counts.at_least else ''} {name}"
        for name in ("active", "paused", "failed", "ended")
    )
    return ", ".join(parts)


def _held(situation: Situation) -> str:
    holds = situation.mode.holds
    if not holds:
        return ""
    scopes = ", ".join(str(hold.scope) for hold in holds)
    return f"{scopes} {held_words(holds, situation)}"

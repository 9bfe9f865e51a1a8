"""``graceful runs``: which runs there are, and how far they have come."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import OpenApp, open_app
from celery_graceful.cli.exit_codes import Misuse
from celery_graceful.cli.options import interval_of, json_option, watch_options
from celery_graceful.cli.output import natural_width, print_json, print_table, say
from celery_graceful.cli.show.filter_options import (
    as_arguments,
    described,
    filter_options,
    given_filters,
    listed,
)

if TYPE_CHECKING:
    from celery_graceful.runs.plain_run import Page, Run

#: Runs that are listed where no number is asked for.
_LIMIT = 50
#: Runs that are named beside a reason that all of them have.
_NAMED = 3


@click.command()
@click.argument("run_id", metavar="", required=False)
@click.option("-n", "--limit", type=click.IntRange(1), help=f"How many; {_LIMIT}.")
@filter_options
@watch_options
@json_option
@click.pass_context
def runs(
    ctx: click.Context,
    /,
    run_id: str | None,
    limit: int | None,
    watch: bool,
    interval: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """List runs: those under way first, then those that have ended. One run: graceful show ID.

    With --watch the list is drawn again every two seconds, and says why a run does not move. Ctrl-C
    ends that.
    """
    if run_id is not None:
        named = shlex.quote(run_id if len(run_id) <= 200 else run_id[:200] + "…")
        raise Misuse(f"`runs` lists runs; one run is shown by: graceful show {named}")
    every = interval_of(interval, watch=watch, as_json=as_json)
    given = given_filters(options)
    arguments = as_arguments(given)
    with open_app(ctx) as at:
        if every is not None:
            from celery_graceful.cli.show.live.watch_runs import watch_runs

            watch_runs(ctx, at, every, limit, given, arguments)
            return
        found = listed(at, limit or _LIMIT, arguments, 0)
        if as_json:
            _print_json(at, found)
        elif found.items:
            _print_runs(at, found)
            if found.next is not None:
                say(f"The first {limit or _LIMIT}; more with --limit.", err=True)
        else:
            which = f"No run with {described(given)}" if given else "No runs"
            say(f"{which} (app {at.runtime.namespace}, store {at.store}).", err=True)


def _print_json(at: OpenApp, found: Page[Run]) -> None:
    from celery_graceful.views.runs import SCHEMA, run_as_data
    from celery_graceful.views.waiting import whys

    explained = zip(found, whys(at.runtime, found, command=at.command), strict=True)
    print_json(SCHEMA, runs=[{**run_as_data(run), "why": why} for run, why in explained])


def _print_runs(at: OpenApp, found: Page[Run]) -> None:
    """In a narrow terminal with shortened ids: each still names one run."""
    from celery_graceful.cli.run_text import HEADINGS, SPARE, run_row
    from celery_graceful.text.terminal import terminal_width
    from celery_graceful.views.waiting import whys

    found_whys, width = whys(at.runtime, found, command=at.command), terminal_width()
    rows = [run_row(run) for run in found]
    if width is None:
        explained = [(*row, why or "–") for row, why in zip(rows, found_whys, strict=True)]
        print_table((*HEADINGS, "why"), explained)
        return
    ids: Sequence[str] = [run.id for run in found]
    if natural_width(HEADINGS, rows) > width:
        ids = at.runs.short_ids(found.items)
        rows = [run_row(run, run_id) for run, run_id in zip(found, ids, strict=True)]
    print_table(HEADINGS, rows, solid=("id",), spare=SPARE)
    # So that several paused runs have one reason.
    general = [
        why and why.replace(run.id, "ID") for run, why in zip(found, found_whys, strict=True)
    ]
    _print_whys(ids, general, width)


def _print_whys(ids: Sequence[str], found_whys: Sequence[str | None], width: int) -> None:
    """Below the table: each reason once, with the runs that it is for."""
    from celery_graceful.text.printable import printable
    from celery_graceful.text.terminal import wrapped

    by_why: dict[str, list[str]] = {}
    for run_id, why in zip(ids, found_whys, strict=True):
        if why is not None:
            by_why.setdefault(why, []).append(run_id)
    for number, (why, concerned) in enumerate(by_why.items()):
        if not number:
            say()
            say("Why they do not move:")
        named = ", ".join(concerned[:_NAMED]) + (", …" if len(concerned) > _NAMED else "")
        for line in wrapped(f"{printable(named)}: {printable(why)}", width):
            say(line, styled=True)

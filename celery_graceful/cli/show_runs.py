"""``graceful runs``: which runs there are, and how far they have come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import OpenApp, open_app
from celery_graceful.cli.options import json_option
from celery_graceful.cli.output import natural_width, print_json, print_pairs, print_table, say

if TYPE_CHECKING:
    from celery_graceful.runs.plain_run import Page, Run

#: Quarantined items that are shown.
MOST_ITEMS = 1000


@click.command()
@click.argument("run_id", metavar="[ID]", required=False)
@click.option("-n", "--limit", default=50, show_default=True, type=click.IntRange(1))
@click.option("-s", "--state", help="Only runs in this state, such as running or paused.")
@json_option
@click.pass_context
def runs(
    ctx: click.Context,
    /,
    run_id: str | None,
    limit: int,
    state: str | None,
    as_json: bool,
    **preload: Any,
) -> None:
    """List runs, those under way first, or show one.

    The first characters of an ID are enough, if no other begins with them.
    """
    with open_app(ctx) as at:
        if run_id is None:
            _show_all(at, limit, _checked(state), as_json)
        else:
            _show_one(at, run_id, as_json)


def _checked(state: str | None) -> str | None:
    from celery_graceful.runs.listing.filters import STATES

    if state is not None and state not in STATES:
        raise click.BadParameter(f"{state!r} is none of {', '.join(STATES)}", param_hint="--state")
    return state


def _show_all(at: OpenApp, limit: int, state: str | None, as_json: bool) -> None:
    from celery_graceful.views.runs import SCHEMA, run_as_data
    from celery_graceful.views.waiting import whys

    found = _listed(at, limit, state=state)
    if as_json:
        found_whys = whys(at.runtime, found, command=at.command)
        print_json(
            SCHEMA,
            runs=[
                {**run_as_data(run), "why": why} for run, why in zip(found, found_whys, strict=True)
            ],
        )
        return
    if not found.items:
        which = f"No run is {state}" if state else "No runs"
        say(f"{which} (app {at.runtime.namespace}, store {at.store}).", err=True)
        return
    _print_runs(at, found)
    if found.next is not None:
        say(f"The first {limit}; more with --limit.", err=True)


def _listed(at: OpenApp, limit: int, **filters: Any) -> Page[Run]:
    """So many runs if there are: a page may be short where few fit the filters."""
    from celery_graceful.runs.plain_run import Page

    page = at.runs.list(limit=limit, **filters)
    items = list(page)
    while page.next is not None and len(items) < limit:
        page = at.runs.list(limit=limit - len(items), after=page.next, **filters)
        items += page
    return Page(tuple(items), page.next)


def _print_runs(at: OpenApp, found: Page[Run]) -> None:
    """In a narrow terminal with shortened ids: each still names one run."""
    from celery_graceful.cli.run_text import HEADINGS, SPARE, run_row
    from celery_graceful.text.terminal import terminal_width

    rows = [run_row(run) for run in found]
    width = terminal_width()
    if width is not None and natural_width(HEADINGS, rows) > width:
        ids = at.runs.short_ids(found.items)
        rows = [run_row(run, run_id) for run, run_id in zip(found, ids, strict=True)]
    print_table(HEADINGS, rows, solid=("id",), spare=SPARE)


def _show_one(at: OpenApp, name: str, as_json: bool) -> None:
    from celery_graceful.cli.run_text import ITEM_HEADINGS, item_row, run_details
    from celery_graceful.runs.quarantined_items import MOST_COUNTED
    from celery_graceful.views.runs import SCHEMA, item_as_data, run_as_data
    from celery_graceful.views.waiting import whys

    run = at.runs.get(name)
    items = at.runs.quarantined(str(run), limit=MOST_ITEMS)
    if items.next is not None:
        there = at.runs.count_quarantined(str(run))
        all_ = f"at least {there}" if there >= MOST_COUNTED else str(there)
        say(f"The first {MOST_ITEMS} of {all_} quarantined items.", err=True)
    if as_json:
        entries = [item_as_data(item) for item in items]
        (why,) = whys(at.runtime, [run], command=at.command)
        print_json(SCHEMA, run={**run_as_data(run), "why": why, "quarantined_items": entries})
        return
    print_pairs(run_details(run))
    if items.items:
        say()
        say("Quarantined items:")
        print_table(ITEM_HEADINGS, [item_row(item) for item in items], solid=("number",))
        again = at.line("replay", at.full_name(run, name))
        say(f"Tracebacks: --json. Try them again: {again}", err=True)

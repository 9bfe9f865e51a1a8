"""``graceful runs``: which runs there are, and how far they have come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import OpenApp, open_app
from celery_graceful.cli.output import print_json, print_pairs, print_table, say

if TYPE_CHECKING:
    from celery_graceful.runs.control import Run

#: Items quarantined that are shown.
MOST_ITEMS = 1000


@click.command()
@click.argument("run_id", metavar="[ID]", required=False)
@click.option("-n", "--limit", default=50, show_default=True, type=click.IntRange(1))
@click.option("-s", "--state", help="Only runs in this state, such as running or paused.")
@click.option("-j", "--json", "as_json", is_flag=True, help="JSON on stdout.")
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

    The first characters of an ID will do, if no other begins with them.
    """
    with open_app(ctx) as at:
        if run_id is None:
            _show_all(at, limit, _state(state), as_json)
        else:
            _show_one(at, run_id, as_json)


def _state(name: str | None) -> str | None:
    from celery_graceful.model.run.record import State

    known = [str(state) for state in State]
    if name is not None and name not in known:
        raise click.BadParameter(f"{name!r} is none of {', '.join(known)}", param_hint="--state")
    return name


def _show_all(at: OpenApp, limit: int, state: str | None, as_json: bool) -> None:
    from celery_graceful.cli import shown

    found = _found(at, limit, state)
    if as_json:
        print_json(shown.SCHEMA, runs=[shown.as_data(run) for run in found])
        return
    if not found:
        which = f"No run is {state}" if state else "No runs"
        say(f"{which} (app {at.runtime.namespace}, store {at.store}).", err=True)
        return
    _print_runs(at, found, complete=state is None and len(found) < limit)
    if len(found) == limit:
        say(f"The first {limit}; more with --limit.", err=True)


def _print_runs(at: OpenApp, found: list[Run], *, complete: bool) -> None:
    """In a narrow terminal with shortened ids: each still names one run.

    Args:
        complete: whether the store has no other runs.
    """
    from celery_graceful.cli import shown
    from celery_graceful.cli.short_ids import AT_MOST, shortened
    from celery_graceful.cli.table_layout import natural_width
    from celery_graceful.text.terminal import terminal_width

    def others(prefix: str) -> list[str]:
        return [key.id for key in at.runtime.store.named(prefix, AT_MOST)]

    rows = [shown.as_row(run) for run in found]
    width = terminal_width()
    if width is not None and natural_width(shown.HEADINGS, rows) > width:
        ids = shortened([run.key.id for run in found], None if complete else others)
        rows = [shown.as_row(run, run_id) for run, run_id in zip(found, ids, strict=True)]
    print_table(shown.HEADINGS, rows, solid=("id",), spare=shown.SPARE)


def _found(at: OpenApp, limit: int, state: str | None) -> list[Run]:
    from celery_graceful.runs import control

    if state is None:
        return control.listing(at.runtime, limit)
    everything = control.listing(at.runtime, control.SEARCHED)
    return [run for run in everything if str(run.record.state) == state][:limit]


def _show_one(at: OpenApp, run_id: str, as_json: bool) -> None:
    from celery_graceful.cli import shown
    from celery_graceful.runs import control, quarantined_items

    run = control.find(at.runtime, run_id)
    items = list(quarantined_items.found(at.runtime.store, run.key, MOST_ITEMS + 1))
    more = len(items) > MOST_ITEMS
    del items[MOST_ITEMS:]
    if more:
        there = quarantined_items.count(at.runtime.store, run.key)
        all_ = f"at least {there}" if there >= quarantined_items.MOST_COUNTED else str(there)
        say(f"The first {MOST_ITEMS} of {all_} quarantined items.", err=True)
    if as_json:
        data = {**shown.as_data(run), "quarantined": [shown.item_as_data(item) for item in items]}
        print_json(shown.SCHEMA, run=data)
        return
    print_pairs(shown.as_details(run))
    if items:
        say()
        say("Items quarantined:")
        rows = [shown.item_as_row(item) for item in items]
        print_table(shown.ITEM_HEADINGS, rows, solid=("number",))
        again = at.line("replay", control.name_of(run, run_id))
        say(f"Tracebacks: --json. Try them again: {again}", err=True)

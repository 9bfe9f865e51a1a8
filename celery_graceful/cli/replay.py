"""``graceful replay``: items that a run has quarantined, tried again."""

from __future__ import annotations

from typing import Any

import click

from celery_graceful.cli.context import open_app
from celery_graceful.cli.exit_codes import Refusal
from celery_graceful.cli.output import print_json, say
from celery_graceful.text.counting import counted


@click.command()
@click.argument("run_id", metavar="ID")
@click.option(
    "-i",
    "--item",
    "items",
    type=click.IntRange(0),
    multiple=True,
    help="Only this item, by its number in `graceful runs ID`; may be given several times.",
)
@click.option("-j", "--json", "as_json", is_flag=True, help="JSON on stdout.")
@click.pass_context
def replay(
    ctx: click.Context, /, run_id: str, items: tuple[int, ...], as_json: bool, **preload: Any
) -> None:
    """Try the items again that a run has quarantined.

    They run as a task of their own; see max_failed_items. Those that succeed are forgotten; those
    that fail again stay where they are.
    """
    from celery_graceful.cli import shown
    from celery_graceful.runs import control, quarantined_items

    with open_app(ctx) as at:
        run = control.find(at.runtime, run_id)
        say(
            f"App {at.runtime.namespace}, broker {at.runtime.broker_shown}, store {at.store}",
            err=True,
        )
        store = at.runtime.store
        there = {entry.ordinal for entry in quarantined_items.chosen(store, run.key, items)}
        if missing := sorted(set(items) - there):
            raise Refusal(
                f"{run.key} has no quarantined item {missing[0]}. List them:"
                f" {at.line('runs', control.name_of(run, run_id))}"
            )
        sent = quarantined_items.replay(at.runtime, run.key, items)
        if sent is None:
            raise Refusal(f"{run.key} has no quarantined items.")
        count = len(there) or quarantined_items.count(store, run.key)
        about = "at least " if count >= quarantined_items.MOST_COUNTED else ""
        some = about + counted(count, "item")
        say(f"Sent: {run.key.task}[{sent}] replays {some} of {run.key}.", err=True)
        say(f"See what comes of it: {at.line('runs', sent)}", err=True)
        if as_json:
            print_json(shown.SCHEMA, verb="replay", run=run.key.id, sent=sent, items=count)

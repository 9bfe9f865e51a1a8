"""``graceful pause``, ``resume``, ``cancel``, ``resend``, ``replay``: what changes a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import OpenApp, open_app
from celery_graceful.cli.exit_codes import Refusal
from celery_graceful.cli.options import json_option
from celery_graceful.cli.output import print_json, say, whom

if TYPE_CHECKING:
    from celery_graceful.runs.operating.changes import Change


def _change_command(verb: str, help: str) -> click.Command:
    """A command that calls the method ``verb`` of ``graceful.runs`` for one run."""

    @click.command(verb, help=help)
    @click.argument("run_id", metavar="ID")
    @json_option
    @click.pass_context
    def command(ctx: click.Context, /, run_id: str, as_json: bool, **preload: Any) -> None:
        _change(ctx, verb, run_id, as_json)

    return command


pause = _change_command(
    "pause", "Stop a run until it is resumed.\n\nA running one stops at its next checkpoint."
)
resume = _change_command("resume", "Put a paused run back in its queue.")
cancel = _change_command(
    "cancel", "End a run for good.\n\nA running one stops at its next checkpoint."
)
resend = _change_command(
    "resend", "Send the message of a waiting run again.\n\nUse it after a purge of its queue."
)


@click.command()
@click.argument("run_id", metavar="ID")
@click.option(
    "-i",
    "--item",
    "items",
    type=click.IntRange(0),
    multiple=True,
    help="Only this item, by its number in `graceful show ID`; may be given several times.",
)
@json_option
@click.pass_context
def replay(
    ctx: click.Context, /, run_id: str, items: tuple[int, ...], as_json: bool, **preload: Any
) -> None:
    """Try the items again that a run has quarantined.

    They run as a task of their own; see max_failed_items. Items that succeed are forgotten; items
    that fail again stay quarantined.
    """
    from celery_graceful import errors
    from celery_graceful.runs.quarantined_items import MOST_COUNTED
    from celery_graceful.text.counting import counted
    from celery_graceful.views.runs import SCHEMA, replay_as_data

    with open_app(ctx) as at:
        run = at.runs.get(run_id)
        whom(at)
        try:
            done = at.runs.replay(str(run), items)
        except errors.RunRefused as exc:
            hint = f" List them: {at.line('runs', at.full_name(run, run_id))}" if items else ""
            raise Refusal(f"{exc}{hint}") from exc
        about = "at least " if done.items >= MOST_COUNTED else ""
        some = about + counted(done.items, "item")
        say(f"Sent: {run.task}[{done.sent}] replays {some} of {run}.", err=True)
        say(f"Follow it: {at.line('runs', done.sent)}", err=True)
        if as_json:
            print_json(SCHEMA, **replay_as_data(done))


def _change(ctx: click.Context, verb: str, run_id: str, as_json: bool) -> None:
    from celery_graceful.cli.run_text import run_sentence
    from celery_graceful.views.runs import SCHEMA, change_as_data

    with open_app(ctx) as at:
        run = at.runs.get(run_id)
        whom(at, [run_sentence(run)])
        change: Change = getattr(at.runs, verb)(str(run))
        undo = at.line(change.undo, at.full_name(run, run_id)) if change.undo else None
        trouble = [f"But {change.trouble}."] if change.trouble else []
        last = f"Undo: {undo}" if undo else _no_undo(at, change)
        for line in (_outcome(change), *trouble, last):
            say(line, err=True)
        if as_json:
            print_json(SCHEMA, **change_as_data(verb, change, undo))


def _outcome(change: Change) -> str:
    from celery_graceful.model.run.verdict import Verdict

    if change.verdict is Verdict.ASKED:
        return f"Asked: it stops {change.why}." if "at its" in change.why else f"{change.why}."
    if change.verdict is Verdict.PUBLISH:
        generation = change.run.generation
        return f"Done: {change.why}, its message (generation {generation}) is in its queue."
    return f"Done: {change.why}."


def _no_undo(at: OpenApp, change: Change) -> str:
    if not change.run.ended:
        return f"Follow it: {at.line('runs', change.run.id)}"
    return "Nothing undoes this. A new run of the task can start after the cursor above."

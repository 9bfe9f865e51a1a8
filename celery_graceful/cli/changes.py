"""``graceful pause``, ``resume``, ``cancel``, ``retry``: whom it concerns, outcome, undo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import OpenApp, open_app
from celery_graceful.cli.output import print_json, say

if TYPE_CHECKING:
    from celery_graceful.runs.control import Change

#: What undoes each change; nothing undoes ``cancel``.
UNDO = {"pause": "resume", "resume": "pause", "resend": "pause"}


def _command(function: Any) -> click.Command:
    """The argument and option that all changes share."""
    function = click.pass_context(function)
    function = click.option("-j", "--json", "as_json", is_flag=True, help="JSON on stdout.")(
        function
    )
    function = click.argument("run_id", metavar="ID")(function)
    return click.command()(function)


@_command
def pause(ctx: click.Context, run_id: str, as_json: bool, **preload: Any) -> None:
    """Take a run out until it is resumed.

    A running one stops at its next checkpoint.
    """
    _change(ctx, "pause", run_id, as_json)


@_command
def resume(ctx: click.Context, run_id: str, as_json: bool, **preload: Any) -> None:
    """Put a paused run back in its queue."""
    _change(ctx, "resume", run_id, as_json)


@_command
def cancel(ctx: click.Context, run_id: str, as_json: bool, **preload: Any) -> None:
    """End a run for good; a running one stops at its next checkpoint."""
    _change(ctx, "cancel", run_id, as_json)


@_command
def resend(ctx: click.Context, run_id: str, as_json: bool, **preload: Any) -> None:
    """Send the message of a waiting run again.

    Use it after a purge of its queue.
    """
    _change(ctx, "resend", run_id, as_json)


def _change(ctx: click.Context, verb: str, run_id: str, as_json: bool) -> None:
    from celery_graceful.cli import shown
    from celery_graceful.runs import control

    with open_app(ctx) as at:
        run = control.find(at.runtime, run_id)
        runtime = at.runtime
        _tell(f"App {runtime.namespace}, broker {runtime.broker_shown}, store {at.store}")
        _tell(shown.one_line(run))
        change: Change = getattr(control, verb)(runtime, run)
        undo = at.line(UNDO[verb], control.name_of(run, run_id)) if verb in UNDO else None
        _tell(_outcome(change))
        if change.trouble:
            _tell(f"But {change.trouble}.")
        _tell(f"Undo: {undo}" if undo else _no_undo(at, change))
        if as_json:
            after = control.Run(run.key, change.record, run.now)
            print_json(
                shown.SCHEMA,
                verb=verb,
                verdict=str(change.verdict),
                why=change.why,
                trouble=change.trouble or None,
                run=shown.as_data(after),
                undo=undo,
            )


def _tell(line: str) -> None:
    say(line, err=True)


def _outcome(change: Change) -> str:
    from celery_graceful.model.run.verdict import Verdict

    record = change.record
    if change.verdict is Verdict.ASKED:
        return f"Asked: it leaves {change.why}." if "at its" in change.why else f"{change.why}."
    if change.verdict is Verdict.PUBLISH:
        return f"Done: {change.why}, its message (generation {record.generation}) is in its queue."
    return f"Done: {change.why}."


def _no_undo(at: OpenApp, change: Change) -> str:
    if change.record.live:
        return f"See what comes of it: {at.line('runs', change.before.key.id)}"
    return "Nothing undoes this. A new run of the task may go on after the cursor above."

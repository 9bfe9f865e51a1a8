"""``graceful up``: what is held goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import open_app
from celery_graceful.cli.options import duration, names_of, scope_options
from celery_graceful.cli.output import print_json, say, whom

if TYPE_CHECKING:
    from celery_graceful.maintenance.mode_changes import Change


@click.command()
@scope_options
@click.option("--ramp", type=duration, help="Take work up again over this time, such as 5m.")
@click.option("-j", "--json", "as_json", is_flag=True, help="JSON on stdout.")
@click.pass_context
def up(
    ctx: click.Context,
    /,
    queues: tuple[str, ...],
    tasks: tuple[str, ...],
    ramp: float | None,
    as_json: bool,
    **preload: Any,
) -> None:
    """End the maintenance mode, or that of some queues and tasks.

    Fine when nothing is down.
    """
    named = names_of(queues, "-Q")
    with open_app(ctx) as at:
        from celery_graceful.cli import mode_shown, workers_shown
        from celery_graceful.maintenance import mode_changes
        from celery_graceful.maintenance.scopes import scopes_of
        from celery_graceful.maintenance.workers import known_workers, patience

        runtime = at.runtime
        whom(at, workers_shown.roll_call(known_workers(runtime.store), patience(runtime.settings)))
        scopes = scopes_of(named, tasks) if named or tasks else ()
        change = mode_changes.up(runtime, scopes, ramp=ramp or 0.0)
        lifted = [hold for hold in change.before.holds if change.mode.hold_of(hold.scope) is None]
        undo = mode_shown.redo(at, lifted, change.now)
        for line in (_outcome(change, ramp), *change.warnings):
            say(line, err=True)
        for command in undo:
            say(f"Undo: {command}", err=True)
        if as_json:
            print_json(
                mode_shown.SCHEMA,
                verb="up",
                changed=change.before.version != change.mode.version,
                warnings=list(change.warnings),
                undo=undo,
                **mode_shown.mode_as_data(change.mode, change.now),
            )


def _outcome(change: Change, ramp: float | None) -> str:
    from celery_graceful.cli.mode_shown import in_words, short

    gone = [h.scope for h in change.before.holds if change.mode.hold_of(h.scope) is None]
    if not gone and change.before.ramp is not None and change.mode.ramp is None:
        return "All is up; the slow start is over."
    if not gone:
        replaced = change.mode.version != change.before.version
        return "What was held could not be read: nothing is held now." if replaced else "All is up."
    slowly = f", slowly, over {short(ramp)}" if ramp else ""
    left = (
        f" Still held: {in_words(h.scope for h in change.mode.holds)}." if change.mode.down else ""
    )
    return f"Up: {in_words(gone)}{slowly}.{left}"

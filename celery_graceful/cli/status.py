"""``graceful status``: what is held, and what each worker does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import OpenApp, open_app
from celery_graceful.cli.exit_codes import of_status
from celery_graceful.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from celery_graceful.maintenance.api import Status

#: Lines of the log that are shown.
LOG_LINES = 5


@click.command()
@click.option("-j", "--json", "as_json", is_flag=True, help="JSON on stdout.")
@click.pass_context
def status(ctx: click.Context, /, as_json: bool, **preload: Any) -> None:
    """What is in maintenance, and what each worker does.

    Exit code 10 in maintenance, with or without workers; else 0, or 69 when no worker is there.
    """
    with open_app(ctx) as at:
        from celery_graceful.maintenance.api import status_of

        found = status_of(at.runtime)
        if as_json:
            _print_data(at, found)
        else:
            _print(found, at.runtime.namespace)
        if found.trouble:
            say(f"The workers could not be asked over the broker: {found.trouble}", err=True)
        workers = bool(found.standing.live)
        if not workers:
            whose = (
                f"app {at.runtime.namespace}, broker {at.runtime.broker_shown}, store {at.store}"
            )
            say(f"No worker is there ({whose}).", err=True)
        ctx.exit(of_status(down=found.down, workers=workers))


def _print(found: Status, app: str) -> None:
    from celery_graceful.cli import mode_shown, workers_shown
    from celery_graceful.cli.processes_shown import print_processes

    mode = found.mode
    if mode.down:
        say(f"In maintenance (mode version {mode.version})")
        rows = [mode_shown.hold_as_row(hold, found.now) for hold in mode.holds]
        print_table(mode_shown.HOLD_HEADINGS, rows)
    else:
        say(f"Running (mode version {mode.version})")
    if mode.ramp is not None and mode.ramp.until > found.now:
        left, whole = mode.ramp.until - found.now, mode.ramp.seconds
        done = f"{1 - left / whole:.0%} of {mode_shown.short(whole)}"
        say(f"Work is taken up slowly: {done}")
    if found.workers:
        say()
        print_table(workers_shown.HEADINGS, [workers_shown.as_row(each) for each in found.workers])
        for each in found.workers:
            if each.failure:
                say(f"{each.hostname}: celery-graceful could not start: {each.failure}")
    print_processes(app)
    if mode.log:
        say()
        say("Lately:")
        for deed in mode.log[-LOG_LINES:]:
            say(f"  {mode_shown.log_line(deed)}")


def _print_data(at: OpenApp, found: Status) -> None:
    from celery_graceful.cli import mode_shown, workers_shown
    from celery_graceful.cli.processes_shown import as_data

    print_json(
        mode_shown.SCHEMA,
        app=at.runtime.namespace,
        broker=at.runtime.broker_shown,
        store=at.store,
        exempt_queues=sorted(at.runtime.settings.maintenance_exempt_queues),
        trouble=found.trouble or None,
        workers=[workers_shown.as_data(each) for each in found.workers],
        processes=as_data(at.runtime.namespace),
        **mode_shown.mode_as_data(found.mode, found.now),
    )

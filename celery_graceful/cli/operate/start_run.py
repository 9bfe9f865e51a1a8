"""``graceful start``: starts a run, once for each key if that is wanted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import OpenApp, open_app
from celery_graceful.cli.exit_codes import Misuse
from celery_graceful.cli.operate.wait_for_run import exit_code, follow
from celery_graceful.cli.options import duration, json_option, json_value
from celery_graceful.cli.output import print_json, say, whom

if TYPE_CHECKING:
    from celery_graceful.runs.oneoff.start import Started


def _json(ctx: click.Context, parameter: click.Parameter, text: str | None) -> Any:
    examples = {"args": """'["2026-01-01", 5]'""", "kwargs": """'{"since": "2026-01-01"}'"""}
    example = examples.get(parameter.name or "", """'"a text"', 41 or '[3, 41]'""")
    return None if text is None else json_value(text, example)


@click.command()
@click.argument("task", metavar="TASK")
@click.option("-a", "--args", callback=_json, metavar="JSON", help="Positional arguments, a list.")
@click.option("-k", "--kwargs", callback=_json, metavar="JSON", help="Named arguments, an object.")
@click.option(
    "--once",
    metavar="KEY",
    help="Start nothing if a run of this key is under way or has completed.",
)
@click.option(
    "--keep", metavar="TIME", help="How long a completed key is known, such as 90d; a year."
)
@click.option("-c", "--cursor", callback=_json, metavar="JSON", help="Begin behind this cursor.")
@click.option(
    "--pause-after",
    type=click.IntRange(1),
    metavar="ITEMS",
    help="Pause after so many items, until `graceful resume`.",
)
@click.option("--limit", type=click.IntRange(1), metavar="ITEMS", help="End after so many items.")
@click.option("--dry-run", is_flag=True, help="Change nothing, if the task offers that.")
@click.option("-Q", "--queue", help="The queue; by default where the task is routed to.")
@click.option("--tag", "tags", multiple=True, help="A word to find it by; may be repeated.")
@click.option("--wait", is_flag=True, help="Wait for the run, as `graceful wait` does.")
@click.option("-t", "--timeout", metavar="TIME", help="Wait at most this long, such as 1h.")
@json_option
@click.pass_context
def start(
    ctx: click.Context,
    /,
    task: str,
    args: Any,
    kwargs: Any,
    once: str | None,
    keep: str | None,
    cursor: Any,
    pause_after: int | None,
    limit: int | None,
    dry_run: bool,
    queue: str | None,
    tags: tuple[str, ...],
    wait: bool,
    timeout: str | None,
    as_json: bool,
    **preload: Any,
) -> None:
    """Start a run of an iterable task.

    With --once KEY, a deploy may start it as often as it likes: one run completes.
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout is for --wait")
    if keep is not None and once is None:
        raise click.UsageError("--keep is for --once")
    seconds = None if timeout is None else duration(timeout)
    _check_kinds(args, kwargs)
    given: dict[str, Any] = {
        "cursor": cursor,
        "once": once,
        "pause_after": pause_after,
        "limit": limit,
        "dry_run": dry_run,
        "queue": queue,
        "tags": tags,
    }
    if keep is not None:
        given["keep"] = duration(keep)
    with open_app(ctx) as at:
        whom(at)
        started = _start(at, task, args or (), kwargs, given)
        _report(at, started, follows=wait)
        run = follow(ctx, at, str(started.run), seconds) if wait else started.run
        if as_json:
            from celery_graceful.views.runs import SCHEMA, run_as_data

            note = started.note or None
            print_json(SCHEMA, how=str(started.how), note=note, run=run_as_data(run))
        if wait:
            ctx.exit(exit_code(run))


def _check_kinds(args: Any, kwargs: Any) -> None:
    if args is not None and not isinstance(args, list):
        raise click.BadParameter(f"{json.dumps(args)} is not a list", param_hint="--args")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise click.BadParameter(f"{json.dumps(kwargs)} is not an object", param_hint="--kwargs")


def _start(at: OpenApp, task: str, args: Any, kwargs: Any, given: dict[str, Any]) -> Started:
    from celery_graceful import errors

    try:
        return at.runs.start_or_join(task, args, kwargs, **given)
    except (errors.StartRefused, errors.CursorError, ValueError) as exc:
        raise Misuse(str(exc)) from exc


def _report(at: OpenApp, started: Started, *, follows: bool) -> None:
    from celery_graceful.cli.run_text import run_sentence
    from celery_graceful.runs.oneoff.start import How
    from celery_graceful.text.counting import counted

    run = started.run
    if started.how is How.STARTED:
        say(f"Started: {run}", err=True)
    elif started.how is How.JOINED:
        say(f"Under way already: {run_sentence(run)}", err=True)
    else:
        say(f"Has completed already: {run_sentence(run)}", err=True)
    if started.note:
        say(f"Note: {started.note}.", err=True)
    if run.pause_after and started.how is How.STARTED:
        items = counted(run.pause_after, "item")
        say(f"It pauses after {items}. Approve it then: {at.line('resume', run.id)}", err=True)
    if not follows and not run.ended:
        say(f"Follow it: {at.line('wait', run.id)}", err=True)

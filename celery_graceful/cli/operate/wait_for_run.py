"""``graceful wait``: waits until a run has ended or is paused."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import OpenApp, open_app
from celery_graceful.cli.exit_codes import INTERRUPTED, OF_RUNS, TimedOut
from celery_graceful.cli.options import duration, json_option
from celery_graceful.cli.output import print_json, say

if TYPE_CHECKING:
    from celery_graceful.runs.oneoff.wait import Look
    from celery_graceful.runs.plain_run import Run

#: Seconds between two lines about a run that only gets further, where there is no bar.
LINE_EVERY = 30.0


@click.command()
@click.argument("run_id", metavar="ID|KEY")
@click.option("-t", "--timeout", metavar="TIME", help="Wait at most this long, such as 1h.")
@json_option
@click.pass_context
def wait(
    ctx: click.Context, /, run_id: str, timeout: str | None, as_json: bool, **preload: Any
) -> None:
    """Wait until a run has ended or is paused.

    Exit codes: 0 completed, 5 failed, 6 cancelled, 7 paused, 3 the time is over, 4 no such run.
    The run continues in any case, also after Ctrl-C.
    """
    seconds = None if timeout is None else duration(timeout)
    with open_app(ctx) as at:
        run = follow(ctx, at, run_id, seconds)
        if as_json:
            from celery_graceful.views.runs import SCHEMA, run_as_data

            print_json(SCHEMA, run=run_as_data(run))
        ctx.exit(exit_code(run))


def exit_code(run: Run) -> int:
    """What a wait for this run exits with."""
    return OF_RUNS[run.state]


def follow(ctx: click.Context, at: OpenApp, name: str, timeout: float | None) -> Run:
    """Show how far a run gets until it has ended or is paused.

    Raises:
        TimedOut: it has not within ``timeout`` seconds.
    """
    from celery_graceful import errors
    from celery_graceful.runs.oneoff.wait import watch

    last: list[Look] = []
    try:
        with display() as shown:
            for look in watch(at.runtime, name, timeout):
                last[:] = [look]
                shown.show(look)
    except errors.WaitTimedOut as exc:
        raise TimedOut(f"{exc}.") from exc
    except KeyboardInterrupt:
        run = last[0].run if last else None
        again = at.line("wait", run.id) if run else ""
        continues = f"{run} continues. Wait again: {again}" if run else "It continues."
        say(f"No longer waiting. {continues}", err=True)
        ctx.exit(INTERRUPTED)
    run = last[0].run
    for line in _summary(at, run):
        say(line, err=True)
    return run


def _summary(at: OpenApp, run: Run) -> Iterator[str]:
    from celery_graceful.cli.run_text import run_sentence
    from celery_graceful.durations import short

    yield run_sentence(run)
    if run.reason and (run.state == "paused" or run.limit):
        yield f"Why: {run.reason}"
    if run.seconds is not None and run.rate is not None:
        yield f"It has worked for {short(run.seconds)}, {run.rate:,.1f}/s"
    if run.carry:
        from celery_graceful.cli.run_text import as_json

        yield f"Carry: {as_json(run.carry)}"
    if run.state == "paused":
        yield f"Approve it: {at.line('resume', run.id)}"


# -- how far it is ----------------------------------------------------------------------------


def display() -> Lines:
    """What shows how far a run is: a bar in a terminal with rich, else lines."""
    if sys.stderr.isatty():
        try:
            return Bar()
        except ImportError:  # without rich
            pass
    return Lines()


class Lines(AbstractContextManager["Lines"]):
    """A line on stderr when the state changes, and now and then."""

    def __init__(self) -> None:
        self._said: tuple[str, str, str | None] | None = None
        self._steps, self._at = -1, float("-inf")

    def show(self, look: Look) -> None:
        """Show what a look has seen, if it is news."""
        run, now = look.run, time.monotonic()
        state = (run.state, look.trouble, run.worker)
        further = run.steps != self._steps and now >= self._at + LINE_EVERY
        if look.done or (state == self._said and not further):
            return
        self._said, self._steps, self._at = state, run.steps, now
        say(_line(look), err=True)

    def __exit__(self, *exc: object) -> None:
        """Nothing is left behind."""


class Bar(Lines):
    """A bar on stderr, by rich; raises ImportError without it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        super().__init__()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("items"),
            console=Console(stderr=True, highlight=False),
            transient=True,
            expand=True,
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Lines:
        self._bar.start()
        return self

    def show(self, look: Look) -> None:
        """Move the bar."""
        from celery_graceful.text.printable import printable

        run = look.run
        total = run.total if run.limit is None else min(run.total or run.limit, run.limit)
        trouble = f", cannot be read: {look.trouble}" if look.trouble else ""
        what = f"{run.task}[{run.id[:8]}]: {run.state}{trouble}"
        self._bar.update(
            self._task, completed=run.steps, total=total, description=printable(what)[:100]
        )

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()


def _line(look: Look) -> str:
    from celery_graceful.cli.run_text import run_sentence

    if look.trouble:
        return f"Still waiting for {look.run}, which cannot be read: {look.trouble}"
    return run_sentence(look.run)

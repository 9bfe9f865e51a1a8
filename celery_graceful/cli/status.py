"""``graceful status``: what is held, and what each worker does."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import open_app
from celery_graceful.cli.exit_codes import of_status
from celery_graceful.cli.options import interval_of, json_option, watch_options
from celery_graceful.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from celery_graceful.maintenance.api import Status
    from celery_graceful.maintenance.barrier import WorkerStatus
    from celery_graceful.model.maintenance.mode import Hold, LogEntry, Mode

HOLD_HEADINGS = ("held", "since", "until", "by", "running runs", "reason")
PROCESS_HEADINGS = ("Background process", "Task", "Started by", "For")
WORKER_HEADINGS = ("worker", "pool", "state", "mode version", "busy", "last seen")
#: Entries of the log that are shown.
LOG_LINES = 5


@click.command()
@watch_options
@json_option
@click.pass_context
def status(
    ctx: click.Context, /, watch: bool, interval: str | None, as_json: bool, **preload: Any
) -> None:
    """Show what is in maintenance, and what each worker does.

    Exit code 10 in maintenance, with or without workers; else 0, or 69 when no worker is there.
    With --watch it is drawn again every two seconds, until Ctrl-C.
    """
    every = interval_of(interval, watch=watch, as_json=as_json)
    with open_app(ctx) as at:
        if every is not None:
            from celery_graceful.cli.show.live.watch_status import watch_status

            watch_status(ctx, at, every)
            return
        from celery_graceful.maintenance.api import Maintenance
        from celery_graceful.views.maintenance import SCHEMA, status_as_data

        runtime = at.runtime
        found = Maintenance(lambda: runtime.app).status()
        if as_json:
            processes = processes_of(runtime.namespace)
            print_json(SCHEMA, **status_as_data(runtime, found), processes=processes)
        else:
            _print(found, runtime.namespace)
        if found.trouble:
            say(f"The workers could not be asked over the broker: {found.trouble}", err=True)
        workers = bool(found.barrier.live)
        if not workers:
            whose = f"app {runtime.namespace}, broker {runtime.broker_shown}, store {at.store}"
            say(f"No worker is there ({whose}).", err=True)
        ctx.exit(of_status(down=found.down, workers=workers))


def _print(found: Status, app: str) -> None:
    _print_mode(found.mode, found.now)
    if found.workers:
        say()
        print_table(WORKER_HEADINGS, [worker_row(worker) for worker in found.workers])
        for worker in found.workers:
            if worker.failure:
                say(f"{worker.hostname}: celery-graceful could not start: {worker.failure}")
    print_processes(processes_of(app))
    if found.mode.log:
        say()
        say("Latest changes:")
        for entry in found.mode.log[-LOG_LINES:]:
            say(f"  {_log_line(entry)}")


def _print_mode(mode: Mode, now: float) -> None:
    from celery_graceful.durations import short

    if mode.down:
        say(f"In maintenance (mode version {mode.version})")
        print_table(HOLD_HEADINGS, [_hold_row(hold, now) for hold in mode.holds])
    else:
        say(f"Running (mode version {mode.version})")
    if mode.ramp is not None and mode.ramp.until > now:
        left, whole = mode.ramp.until - now, mode.ramp.seconds
        say(f"Work resumes slowly: {1 - left / whole:.0%} of {short(whole)}")


def _hold_row(hold: Hold, now: float) -> tuple[str, ...]:
    from celery_graceful.durations import short

    return (
        str(hold.scope),
        f"{_moment(hold.since)} ({short(now - hold.since)} ago)",
        "up" if hold.until is None else f"{_moment(hold.until)} (in {short(hold.until - now)})",
        hold.who,
        "stop" if hold.interrupt else "finish",
        hold.reason or "–",
    )


def worker_row(worker: WorkerStatus) -> tuple[str, ...]:
    """One line of the table, under :data:`WORKER_HEADINGS`."""
    from celery_graceful.durations import short
    from celery_graceful.maintenance.barrier import WorkerState
    from celery_graceful.text.counting import counted

    state, seen = str(worker.state), "now" if worker.age is None else f"{short(worker.age)} ago"
    report = worker.report
    if report is None:
        return (worker.hostname, "–", state, "–", "–", seen)
    forced = report.forced and worker.state is not WorkerState.FORCED
    waiting = report.waiting_count
    slots = f"{report.busy_count - waiting}/{report.slots}"
    return (
        worker.hostname,
        report.pool,
        f"{state}, forced" if forced else state,
        "–" if report.version < 0 else str(report.version),
        f"{slots}, {counted(waiting, 'waits', 'wait')}" if waiting else slots,
        seen,
    )


def processes_of(app: str) -> list[dict[str, Any]]:
    """The background processes of an app; an unreadable registry is reported on stderr."""
    from celery_graceful.views.maintenance import processes_as_data

    found, trouble = processes_as_data(app)
    if trouble:
        say(f"The registry of background processes cannot be read: {trouble}", err=True)
    return found


def print_processes(processes: list[dict[str, Any]]) -> None:
    """A table of background processes, if there are any."""
    if processes:
        say()
        print_table(PROCESS_HEADINGS, [_process_row(process) for process in processes])


def _process_row(process: dict[str, Any]) -> tuple[str, ...]:
    from celery_graceful.durations import short

    outside = process["task"] in ("", "-")  # of any task
    task = "-" if outside else f"{process['task']}[{process['task_id']}]"
    owner, age = f"pid {process['owner']}", short(time.time() - process["since"])
    return (process["command"], task, owner, age)


def _log_line(entry: LogEntry) -> str:
    what = f"{entry.verb} {', '.join(map(str, entry.scopes))}".rstrip()
    until = f", until {_moment(entry.until)}" if entry.until is not None else ""
    reason = f": {entry.reason}" if entry.reason else ""
    return f"{_moment(entry.at)}  {entry.who}  {what}{until}{reason}"


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m-%d %H:%M:%S}Z"

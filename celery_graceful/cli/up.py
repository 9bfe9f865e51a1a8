"""``graceful up``: what is held resumes; and the commands that undo a ``down`` or an ``up``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import OpenApp, open_app
from celery_graceful.cli.options import duration, json_option, names_of, scope_options
from celery_graceful.cli.output import print_json, say, whom

if TYPE_CHECKING:
    from celery_graceful.maintenance.api import DownResult
    from celery_graceful.maintenance.mode_changes import Change
    from celery_graceful.maintenance.workers import KnownWorker
    from celery_graceful.model.maintenance.mode import Hold, Scope

#: Workers that are named in a line.
_NAMED = 10


@click.command()
@scope_options
@click.option("--ramp", type=duration, help="Resume work slowly, over this time: 5m.")
@json_option
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
    """End maintenance, or that of some queues and tasks.

    When nothing is held, it changes nothing.
    """
    named = names_of(queues, "-Q")
    with open_app(ctx) as at:
        from celery_graceful.maintenance.api import Maintenance

        maintenance = Maintenance(lambda: at.runtime.app)
        print_concerned(at, maintenance.workers())
        change = maintenance.up(named, tasks, ramp=ramp)
        undo = redo_commands(at, _released(change), change.now)
        for line in (_outcome(change, ramp), *change.warnings, *(f"Undo: {c}" for c in undo)):
            say(line, err=True)
        if as_json:
            from celery_graceful.views.maintenance import SCHEMA, up_as_data

            print_json(SCHEMA, **up_as_data(change, undo))


def _released(change: Change) -> list[Hold]:
    return [hold for hold in change.before.holds if change.mode.hold_of(hold.scope) is None]


def _outcome(change: Change, ramp: float | None) -> str:
    from celery_graceful.durations import short

    released = _released(change)
    if not released:
        if change.before.ramp is not None and change.mode.ramp is None:
            return "All is up; the slow start is over."
        if change.mode.version != change.before.version:
            return "What was held could not be read: nothing is held now."
        return "All is up."
    slowly = f", slowly, over {short(ramp)}" if ramp else ""
    held = f" Still held: {_names(change.mode.holds)}." if change.mode.down else ""
    return f"Up: {_names(released)}{slowly}.{held}"


def _names(holds: Iterable[Hold]) -> str:
    return ", ".join(str(hold.scope) for hold in holds)


def print_concerned(
    at: OpenApp, workers: Iterable[KnownWorker], *, with_exempt: bool = False
) -> None:
    """Say on stderr which app and which workers a change concerns."""
    hosts = {worker.hostname: worker.report for worker in workers}
    forced = [host for host, report in hosts.items() if report is not None and report.forced]
    lines = [f"Workers: {_listed([host for host in hosts if host not in forced])}"]
    if forced:
        lines.append(f"Forced, they ignore maintenance: {_listed(forced)}")
    exempt = sorted(at.runtime.settings.maintenance_exempt_queues)
    if exempt and with_exempt:
        lines.append(f"Exempt queues: {', '.join(exempt)}")
    whom(at, lines)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED]) or 'none'}{more}"


# -- commands to copy ------------------------------------------------------------------------


def up_command(at: OpenApp, scopes: Iterable[Scope]) -> str:
    """The command that releases scopes."""
    return at.line("up", *_options(scopes))


def undo_commands(at: OpenApp, done: DownResult) -> list[str]:
    """The commands that undo a ``down``: what was held before gets its old terms."""
    fresh = [scope for scope in done.scopes if done.before.hold_of(scope) is None]
    changed = [
        hold
        for hold in done.before.holds
        if hold.scope in done.scopes and _terms(hold) != _terms(done.mode.hold_of(hold.scope))
    ]
    return [*([up_command(at, fresh)] if fresh else ()), *redo_commands(at, changed, done.now)]


def redo_commands(at: OpenApp, holds: Iterable[Hold], now: float) -> list[str]:
    """The commands that hold the same again, on the same terms."""
    same: dict[tuple[str, ...], list[Scope]] = {}
    for hold in holds:
        terms = ["--reason", hold.reason] if hold.reason else []
        if hold.until is not None:
            terms += ["--for", f"{max(1, round(hold.until - now))}s"]
        if not hold.interrupt:
            terms.append("--no-interrupt")
        # Everything can only be held by naming nothing.
        apart = "" if hold.scope.name else "all"
        same.setdefault((apart, *terms), []).append(hold.scope)
    return [at.line("down", *_options(s), *terms) for (_, *terms), s in same.items()]


def _terms(hold: Hold | None) -> tuple[object, ...]:
    return () if hold is None else (hold.reason, hold.until, hold.interrupt)


def _options(scopes: Iterable[Scope]) -> list[str]:
    letters = {"queue": "-Q", "task": "-T"}
    return [w for s in scopes if str(s.kind) in letters for w in (letters[str(s.kind)], s.name)]

"""``graceful down``: hold everything, or some queues and tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import OpenApp, open_app
from celery_graceful.cli.exit_codes import INTERRUPTED, Refusal, TimedOut, Unavailable
from celery_graceful.cli.options import duration, names_of, scope_options
from celery_graceful.cli.output import print_json, print_table, say, whom

if TYPE_CHECKING:
    from celery_graceful.maintenance.barrier import BarrierState
    from celery_graceful.maintenance.mode_changes import Change
    from celery_graceful.model.maintenance.mode import Scope


@click.command()
@scope_options
@click.option("--reason", default="", help="What people are told.")
@click.option("--for", "seconds", type=duration, help="Ends by itself after this time: 30m.")
@click.option(
    "--no-interrupt",
    is_flag=True,
    help="Let iterable tasks go on to their end; else they leave at their next checkpoint.",
)
@click.option("--wait", is_flag=True, help="Return when nothing runs any more that is held.")
@click.option("-t", "--timeout", type=duration, help="Wait no longer than this: 60s.")
@click.option("--dry-run", is_flag=True, help="Change nothing; tell what would happen.")
@click.option("-j", "--json", "as_json", is_flag=True, help="JSON on stdout.")
@click.pass_context
def down(
    ctx: click.Context,
    /,
    queues: tuple[str, ...],
    tasks: tuple[str, ...],
    reason: str,
    seconds: float | None,
    no_interrupt: bool,
    wait: bool,
    timeout: float | None,
    dry_run: bool,
    as_json: bool,
    **preload: Any,
) -> None:
    """Begin the maintenance mode: nothing starts until `up`.

    Without -Q and -T for everything but the queues in graceful_maintenance_exempt_queues. Again,
    it updates what is held.
    """
    named = names_of(queues, "-Q")
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait")
    if dry_run and wait:
        raise click.UsageError("--dry-run changes nothing that could be waited for: no --wait")
    with open_app(ctx) as at:
        scopes = _introduced(at, named, tasks)
        if dry_run:
            _show_plan(at, scopes, not no_interrupt, as_json)
            return
        from celery_graceful.maintenance import mode_changes

        try:
            change = mode_changes.down(
                at.runtime, scopes, reason=reason, seconds=seconds, interrupt=not no_interrupt
            )
        except KeyboardInterrupt:
            _say("", f"Broken off. Whether it is down: {at.line('status')}")
            ctx.exit(INTERRUPTED)
        done = _Done(at, change, scopes, as_json)
        done.tell()
        if wait:
            done.wait(ctx, timeout)
        done.end()


def _introduced(at: OpenApp, queues: list[str], tasks: tuple[str, ...]) -> tuple[Scope, ...]:
    """Check the names, and say whom it concerns."""
    from celery_graceful.cli.workers_shown import roll_call
    from celery_graceful.maintenance.api import consumed
    from celery_graceful.maintenance.scopes import checked, scopes_of
    from celery_graceful.maintenance.workers import known_workers, patience

    scopes = scopes_of(queues, tasks)
    checked(at.runtime, scopes, consumed(at.runtime))
    lines = roll_call(known_workers(at.runtime.store), patience(at.runtime.settings))
    exempt = sorted(at.runtime.settings.maintenance_exempt_queues)
    whom(at, [*lines, *([f"Exempt queues: {', '.join(exempt)}"] if exempt else [])])
    return scopes


class _Done:
    """A ``down`` that is written, and what is said of it."""

    def __init__(
        self, at: OpenApp, change: Change, scopes: tuple[Scope, ...], as_json: bool
    ) -> None:
        from celery_graceful.cli.mode_shown import undo_down, up_command

        self._at, self._change, self._scopes, self._as_json = at, change, scopes, as_json
        self._undo = undo_down(at, change.before, change.mode, scopes, change.now)
        self._lift = up_command(at, scopes)
        self._seen: list[BarrierState] = []
        self._waited = False

    def tell(self) -> None:
        """What is held now, and until when."""
        from celery_graceful.cli.mode_shown import in_words, short

        hold = self._change.mode.hold_of(self._scopes[0])
        ends = hold.until if hold is not None else None
        until = "until `up`" if ends is None else f"for {short(ends - self._change.now)}"
        again = " (again)" if self._change.before.hold_of(self._scopes[0]) else ""
        _say(f"Down{again}: {in_words(self._scopes)}, {until}.", *self._change.warnings)

    def wait(self, ctx: click.Context, timeout: float | None) -> None:
        """Wait for the workers.

        Raises:
            TimedOut: they were not paused in time.
            Refusal: somebody has lifted it.
            Unavailable: the store is away.
        """
        from celery_graceful import errors
        from celery_graceful.cli.awaiting import shown_live
        from celery_graceful.maintenance.barrier_wait import watch

        self._waited = True
        looks = watch(self._at.runtime, self._change.mode, self._scopes, timeout)
        try:
            shown_live(looks, self._seen)
        except errors.MaintenanceEnded as exc:
            self._print()
            raise Refusal(str(exc)) from exc
        except errors.WaitTimedOut as exc:
            self._print()
            raise TimedOut(f"{exc}\n{self._stays()}") from exc
        except errors.StoreUnavailable as exc:
            self._print()
            raise Unavailable(f"{exc}\n{self._stays()}") from exc
        except KeyboardInterrupt:
            self._print()
            _say("", f"No longer waiting. {self._stays()}")
            ctx.exit(INTERRUPTED)

    def end(self) -> None:
        """How it stands in the end, and what undoes it."""
        if self._waited:
            _tell_paused(self._seen[-1])
        _say(*(f"Undo: {command}" for command in self._undo))
        if not self._undo:
            _say(f"It was down on these terms before. End it with: {self._lift}")
        self._print()

    def _stays(self) -> str:
        return f"Maintenance stays on. End it with: {self._lift}"

    def _print(self) -> None:
        if not self._as_json:
            return
        from celery_graceful.cli import mode_shown, workers_shown

        standing = self._seen[-1] if self._seen else None
        blocks = standing.blocks if standing else ()
        print_json(
            mode_shown.SCHEMA,
            verb="down",
            warnings=list(self._change.warnings),
            undo=self._undo,
            waited=self._waited,
            paused=standing.clear if standing else None,
            waited_for=[workers_shown.block_as_data(block) for block in blocks],
            workers=[workers_shown.as_data(s) for s in standing.workers] if standing else None,
            **mode_shown.mode_as_data(self._change.mode, self._change.now),
        )


def _tell_paused(standing: BarrierState) -> None:
    from celery_graceful.cli.workers_shown import summary
    from celery_graceful.maintenance.barrier import WorkerState

    gone, forced = standing.in_state(WorkerState.GONE), standing.in_state(WorkerState.FORCED)
    _say(f"{summary(standing)}; nothing that is held runs.")
    if forced:
        _say(f"Forced, not waited for: {', '.join(forced)}")
    if gone:
        _say(f"Neither report nor answer, taken as gone: {', '.join(gone)}")
    if standing.trouble:
        _say(
            f"The broker could not be asked ({standing.trouble}): a worker without celery-graceful"
            " would not have been seen."
        )


def _show_plan(at: OpenApp, scopes: tuple[Scope, ...], interrupt: bool, as_json: bool) -> None:
    from celery_graceful.cli import mode_shown, workers_shown
    from celery_graceful.maintenance import mode_changes
    from celery_graceful.maintenance.scopes import plan

    reading = mode_changes.read(at.runtime)
    found = plan(at.runtime, scopes, now=reading.now, interrupt=interrupt)
    _say("Nothing is changed: this is what would be.")
    if as_json:
        print_json(
            mode_shown.SCHEMA,
            verb="down",
            dry_run=True,
            queues=list(found.queues),
            tasks=list(found.tasks),
            beat=found.beat,
            forced=list(found.forced),
            awaited=[workers_shown.awaited_as_data(each) for each in found.awaited],
        )
        return
    say(f"Queues held: {', '.join(found.queues) or 'none'}")
    say(f"Tasks held by name: {', '.join(found.tasks) or 'none'}")
    beat = ", ".join(
        f"{'all' if name == '*' else name} ({policy})" for name, policy in found.beat.items()
    )
    say(f"Beat entries that would be held: {beat or 'none'}")
    if found.awaited:
        rows = [workers_shown.awaited_as_row(each) for each in found.awaited]
        print_table(workers_shown.AWAITED_HEADINGS, rows, solid=("id",))
    else:
        say("Nothing runs that would have to be waited for.")


def _say(*lines: str) -> None:
    for line in lines:
        say(line, err=True)

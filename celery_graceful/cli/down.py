"""``graceful down``: hold everything, or some queues and tasks."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import OpenApp, open_app
from celery_graceful.cli.exit_codes import INTERRUPTED, Refusal, TimedOut, Unavailable
from celery_graceful.cli.options import duration, json_option, names_of, scope_options
from celery_graceful.cli.output import print_json, print_table, say
from celery_graceful.cli.up import print_concerned, undo_commands, up_command

if TYPE_CHECKING:
    from celery_graceful.maintenance.api import DownResult, Maintenance
    from celery_graceful.maintenance.barrier import BarrierState, Block
    from celery_graceful.maintenance.scopes import Awaited, Plan

PLAN_HEADINGS = ("worker", "task", "id", "has run", "would", "for")
#: Reasons to wait that are shown at once.
_NAMED = 10


@click.command()
@scope_options
@click.option("--reason", default="", help="Shown to people.")
@click.option("--for", "seconds", type=duration, help="Ends by itself after this time: 30m.")
@click.option(
    "--no-interrupt",
    is_flag=True,
    help="Let running iterable tasks finish; else they stop at their next checkpoint.",
)
@click.option("--wait", is_flag=True, help="Return when nothing that is held runs any more.")
@click.option("-t", "--timeout", type=duration, help="Wait at most this long: 60s.")
@click.option("--dry-run", is_flag=True, help="Change nothing; show what would happen.")
@json_option
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
    """Begin maintenance: nothing that is held starts until `up`.

    Without -Q and -T it holds everything but the queues in graceful_maintenance_exempt_queues. Run
    it again to change the terms of what is held.
    """
    named = names_of(queues, "-Q")
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait")
    if dry_run and wait:
        raise click.UsageError("--dry-run changes nothing that could be waited for: no --wait")
    with open_app(ctx) as at:
        from celery_graceful.maintenance.api import Maintenance

        maintenance = Maintenance(lambda: at.runtime.app)
        plan = maintenance.plan(named, tasks, interrupt=not no_interrupt)
        print_concerned(at, maintenance.workers(), with_exempt=True)
        if dry_run:
            _print_plan(plan, as_json)
            return
        try:
            done = maintenance.down(
                named, tasks, reason=reason, seconds=seconds, interrupt=not no_interrupt
            )
        except KeyboardInterrupt:
            _say("", f"Stopped. To see whether it is down: {at.line('status')}")
            ctx.exit(INTERRUPTED)
        _Outcome(at, maintenance, done, as_json).finish(ctx, wait, timeout)


class _Outcome:
    """A ``down`` that is written, and what is printed about it."""

    def __init__(
        self, at: OpenApp, maintenance: Maintenance, done: DownResult, as_json: bool
    ) -> None:
        self._maintenance, self._done, self._as_json = maintenance, done, as_json
        self._undo = undo_commands(at, done)
        self._stays = f"Maintenance stays on. End it with: {up_command(at, done.scopes)}"
        self._end = f"It was held on these terms before. End it with: {up_command(at, done.scopes)}"
        self._state: BarrierState | None = None
        self._waited = False

    def finish(self, ctx: click.Context, wait: bool, timeout: float | None) -> None:
        """Say what is held, wait for the workers if asked to, and say how to undo it."""
        self._print_held()
        if wait:
            self._wait(ctx, timeout)
        _say(*(f"Undo: {command}" for command in self._undo))
        if not self._undo:
            _say(self._end)
        self._print_data()

    def _print_held(self) -> None:
        from celery_graceful.durations import short

        done = self._done
        hold = done.mode.hold_of(done.scopes[0])
        ends = hold.until if hold is not None else None
        until = "until `up`" if ends is None else f"for {short(ends - done.now)}"
        again = " (again)" if done.before.hold_of(done.scopes[0]) else ""
        _say(f"Down{again}: {', '.join(map(str, done.scopes))}, {until}.", *done.warnings)

    def _wait(self, ctx: click.Context, timeout: float | None) -> None:
        """Raises what ends the wait too early, as an exit code."""
        from celery_graceful import errors

        self._waited = True
        try:
            self._show(self._maintenance.watch(self._done, timeout))
        except errors.MaintenanceEnded as exc:
            self._print_data()
            raise Refusal(str(exc)) from exc
        except errors.WaitTimedOut as exc:
            self._print_data()
            raise TimedOut(f"{exc}\n{self._stays}") from exc
        except errors.StoreUnavailable as exc:
            self._print_data()
            raise Unavailable(f"{exc}\n{self._stays}") from exc
        except KeyboardInterrupt:
            self._print_data()
            _say("", f"No longer waiting. {self._stays}")
            ctx.exit(INTERRUPTED)
        if self._state is not None:
            _print_paused(self._state)

    def _show(self, states: Iterable[BarrierState]) -> None:
        """Show the progress on stderr: live in a terminal, else a line when something changes."""
        live = _live_text() if sys.stderr.isatty() else None
        if live is None:
            before: object = None
            for self._state in states:
                now = [_without_time(block) for block in self._state.blocks]
                if now and now != before:
                    _say(*_progress(self._state))
                before = now
            return
        with live:
            for self._state in states:
                live.update("\n".join(_progress(self._state)))

    def _print_data(self) -> None:
        if self._as_json:
            from celery_graceful.views.maintenance import SCHEMA, down_as_data

            view = down_as_data(self._done, self._undo, self._state, waited=self._waited)
            print_json(SCHEMA, **view)


def _live_text() -> Any:
    """A part of the terminal that is written again and again; ``None`` without rich."""
    try:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text
    except ImportError:
        return None

    class LiveText(Live):
        def update(self, renderable: Any, *, refresh: bool = False) -> None:
            super().update(Text(renderable), refresh=refresh)

    return LiveText(console=Console(stderr=True), transient=True)


def _without_time(block: Block) -> tuple[str, ...]:
    return block.worker, block.task, block.id, "" if block.task else block.why[:30]


def _progress(state: BarrierState) -> list[str]:
    blocks = state.blocks
    if not blocks:
        return [_summary(state)]
    more = [f"  and {len(blocks) - _NAMED} more"] if len(blocks) > _NAMED else []
    return [f"{_summary(state)}; waiting for", *(f"  {b}" for b in blocks[:_NAMED]), *more]


def _summary(state: BarrierState) -> str:
    from celery_graceful.maintenance.barrier import WorkerState
    from celery_graceful.text.counting import counted

    awaited = {block.worker for block in state.blocks}
    live = [worker for worker in state.live if worker.state is not WorkerState.FORCED]
    done = [worker for worker in live if worker.hostname not in awaited]
    return f"{len(done)} of {counted(len(live), 'worker')} paused"


def _print_paused(state: BarrierState) -> None:
    from celery_graceful.maintenance.barrier import WorkerState

    gone, forced = state.in_state(WorkerState.GONE), state.in_state(WorkerState.FORCED)
    _say(f"{_summary(state)}; nothing that is held runs.")
    if forced:
        _say(f"Forced, not waited for: {', '.join(forced)}")
    if gone:
        _say(f"Neither report nor answer, taken as gone: {', '.join(gone)}")
    if state.trouble:
        _say(
            f"The broker could not be asked ({state.trouble}): a worker without celery-graceful"
            " would not have been found."
        )


def _print_plan(plan: Plan, as_json: bool) -> None:
    _say("Nothing is changed: this is what would happen.")
    if as_json:
        from celery_graceful.views.maintenance import SCHEMA, plan_as_data

        print_json(SCHEMA, **plan_as_data(plan))
        return
    say(f"Queues held: {', '.join(plan.queues) or 'none'}")
    say(f"Tasks held by name: {', '.join(plan.tasks) or 'none'}")
    beat = ", ".join(f"{'all' if n == '*' else n} ({policy})" for n, policy in plan.beat.items())
    say(f"Beat entries that would be held: {beat or 'none'}")
    if plan.awaited:
        print_table(PLAN_HEADINGS, [_awaited_row(each) for each in plan.awaited], solid=("id",))
    else:
        say("Nothing runs that would have to be waited for.")


def _awaited_row(awaited: Awaited) -> tuple[str, ...]:
    from celery_graceful.durations import short

    if awaited.interrupted:
        would, left = "stop at its next checkpoint", "–"
    elif awaited.left is None or awaited.longest is None:
        would, left = "be waited for", "no history"
    elif awaited.left == 0:
        would, left = "be waited for", f"longer than ever: {short(awaited.longest)} so far"
    else:
        would, left = "be waited for", f"up to {short(awaited.left)}"
    busy = awaited.busy
    return (awaited.worker, busy.task, busy.id, short(busy.seconds), would, left)


def _say(*lines: str) -> None:
    for line in lines:
        say(line, err=True)

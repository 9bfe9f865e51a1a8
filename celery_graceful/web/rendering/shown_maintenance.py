"""The maintenance mode as its page shows it, and the form of a ``down``. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_graceful.durations import short
from celery_graceful.maintenance.barrier import WorkerState
from celery_graceful.text.counting import counted
from celery_graceful.web.rendering.shown_runs import ShownState

if TYPE_CHECKING:
    from celery_graceful.maintenance.scopes import Awaited, Plan
    from celery_graceful.views.fleet.watch import FleetState
    from celery_graceful.web.http import Fields

ALL, SOME = "all", "some"
_QUEUE, _TASK = "queue:", "task:"
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class DownForm:
    """What a form of a ``down`` says."""

    what: str = ""
    queues: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    reason: str = ""
    until: str = ""
    interrupt: bool = True


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a ``down`` has come."""

    done: int
    of: int
    #: In words.
    summary: str
    #: Whether it is proved that nothing that is held runs.
    complete: bool
    forced: tuple[str, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class ShownPlan:
    """What a ``down`` would do."""

    queues: tuple[str, ...]
    tasks: tuple[str, ...]
    beat: str
    rows: tuple[PlannedRow, ...]
    forced: tuple[str, ...]
    #: How long it would take, and how long it would last, in words.
    takes: str
    lasts: str


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A task that would have to stop, or be waited for."""

    worker: str
    task: str
    id: str
    would: str
    left: str


def down_form(fields: Fields) -> tuple[DownForm, dict[str, str]]:
    """A form as it was filled in, and what is wrong with it, by field."""
    names = (line.strip() for line in fields.get("tasks").replace(",", "\n").splitlines())
    form = DownForm(
        what=fields.get("what"),
        queues=tuple(dict.fromkeys(q for q in fields.all("queue") if q)),
        tasks=tuple(dict.fromkeys(filter(None, names))),
        reason=fields.get("reason").strip(),
        until=fields.get("until").strip(),
        interrupt=fields.get("finish") != "yes",
    )
    errors: dict[str, str] = {}
    named = bool(form.queues or form.tasks)
    if form.what not in (ALL, SOME):
        errors["what"] = "Choose what is held: everything, or only some queues and tasks."
    elif form.what == ALL and named:
        errors["what"] = "Queues or tasks are named: choose “only these”, or clear them."
    elif form.what == SOME and not named:
        errors["what"] = "Name a queue or a task, or choose “everything”."
    if len(form.reason) > _LONGEST_REASON:
        errors["reason"] = f"It has {len(form.reason)} characters; at most {_LONGEST_REASON}."
    return form, errors


def scopes_in(values: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Queues, tasks, and whether everything is meant, of the buttons of an ``up``."""
    given = list(values)
    queues = tuple(v.removeprefix(_QUEUE) for v in given if v.startswith(_QUEUE))
    tasks = tuple(v.removeprefix(_TASK) for v in given if v.startswith(_TASK))
    return queues, tasks, ALL in given


def mode_state(fleet: FleetState | None) -> ShownState:
    """The mode in a word."""
    if fleet is None:
        return ShownState("unreadable", "failed", "!")
    if not fleet.mode.down:
        return ShownState("running", "running", "●")
    return ShownState("in maintenance", "paused", "‖")


def progress_of(fleet: FleetState) -> Progress | None:
    """How many workers have paused; ``None`` when nothing is held."""
    if not fleet.mode.down:
        return None
    barrier = fleet.barrier
    awaited = {block.worker for block in barrier.blocks}
    live = [w.hostname for w in barrier.live if w.state is not WorkerState.FORCED]
    done = len(live) - len(awaited & set(live))
    of = max(len(live), len(awaited))
    counts = f"{done} of {counted(of, 'worker')} paused"
    if fleet.complete:
        summary = f"{counts}. Nothing that is held runs."
    elif barrier.blocks:
        summary = f"{counts}{_running(sum(1 for block in barrier.blocks if block.task))}."
    else:
        summary = f"{counts}. Making sure that no other worker runs any of it …"
    trouble = barrier.trouble if fleet.asked else ""
    forced = barrier.in_state(WorkerState.FORCED)
    return Progress(done, of, summary, fleet.complete, forced, trouble)


def _running(tasks: int) -> str:
    return f"; {counted(tasks, 'task still runs', 'tasks still run')}" if tasks else ""


def shown_plan(plan: Plan, seconds: float | None) -> ShownPlan:
    """What a ``down`` would do, in words.

    Args:
        plan: by ``graceful.maintenance.plan``.
        seconds: how long it would last; ``None``: until somebody ends it.
    """
    beat = ", ".join(f"{'all' if n == '*' else n} ({policy})" for n, policy in plan.beat.items())
    return ShownPlan(
        queues=plan.queues,
        tasks=plan.tasks,
        beat=beat,
        rows=tuple(map(_row, plan.awaited)),
        forced=plan.forced,
        takes=_takes(plan.awaited),
        lasts="until somebody ends it" if seconds is None else f"for {short(seconds)}",
    )


def _row(awaited: Awaited) -> PlannedRow:
    busy = awaited.busy
    if awaited.interrupted:
        would, left = "stop at its next checkpoint", "one item"
    elif awaited.left is None or awaited.longest is None:
        would, left = "be waited for", "unknown: it has no history"
    elif awaited.left == 0:
        would, left = "be waited for", f"unknown: longer than ever ({short(awaited.longest)})"
    else:
        would, left = "be waited for", f"up to {short(awaited.left)}"
    return PlannedRow(awaited.worker, busy.task, busy.id, would, left)


def _takes(awaited: tuple[Awaited, ...]) -> str:
    if not awaited:
        return "Nothing runs that would have to be waited for."
    finishing = [each for each in awaited if not each.interrupted]
    if not finishing:
        return f"{counted(len(awaited), 'run')} would stop at the next checkpoint."
    if any(not each.left for each in finishing):
        return f"{counted(len(finishing), 'task')} would be waited for; for how long is unknown."
    longest = max(each.left or 0.0 for each in finishing)
    return f"{counted(len(finishing), 'task')} would be waited for, up to {short(longest)}."

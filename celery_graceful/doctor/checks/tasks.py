"""GD5xx and GD7xx: tasks at a cold stop, time limits, results, definitions."""

from __future__ import annotations

from celery_graceful.doctor.checks.check import Facts, Problem, Problems, app_check
from celery_graceful.doctor.checks.worker_view import WorkerView, worker_check
from celery_graceful.doctor.facts import Kind, Place
from celery_graceful.doctor.finding import ERROR, NOTE, WARNING, named
from celery_graceful.durations import format_seconds

#: Tasks that run in one piece.
_WHOLE = (Kind.PLAIN, Kind.GRACEFUL)
_SOFT_SHUTDOWN = "worker_soft_shutdown_timeout"


def _cause(view: WorkerView) -> tuple[str, Place | None]:
    """What makes the stop a cold one, and where that is written; ``None``: in no file."""
    found, signal = view.remap, view.worker.stop_signal
    if found is not None:
        return "REMAP_SIGTERM=SIGQUIT", found.place if found.place.file else None
    return f"its stop signal is {view.stop_signal}", signal.place if signal else view.worker.place


@worker_check(
    "GD501",
    ERROR,
    "Tasks that are acked early, with a soft or cold stop (`REMAP_SIGTERM=SIGQUIT`, or SIGQUIT as"
    " stop signal; a warning if they are of `GracefulTask` and the stop is a soft one)",
    why="What still runs after the soft shutdown is cut off. Its message was acknowledged before it"
    " ran: the task is lost, with a line in the log.",
    fix="`task_acks_late = True`, or a warm stop with enough time",
)
def acked_early(view: WorkerView) -> Problems:
    soft = bool(view.app.soft_shutdown_timeout)
    lost = [t for t in view.tasks(*_WHOLE) if not t.acks_late]
    # A GracefulTask that reacts to the stop ends during a soft one; whether it does is not known.
    plain = [t for t in lost if t.kind is Kind.PLAIN]
    if soft and plain:
        lost = plain
    if lost and view.is_cold:
        cause, place = _cause(view)
        yield Problem(
            f"{cause}, and acked early: {named([t.name for t in lost])}",
            "app.conf.task_acks_late = True (for tasks that may run twice), or acks_late=True on"
            " these",
            place,
            setting="" if place else "task_acks_late",
            severity=WARNING if soft and not plain else None,
        )


@worker_check(
    "GD502",
    WARNING,
    "A cold stop without `worker_soft_shutdown_timeout`",
    why="Tasks are cut off at the signal and run again from their start, though most would need"
    " only a few seconds more.",
    fix="`worker_soft_shutdown_timeout = 5`",
)
def no_time(view: WorkerView) -> Problems:
    cut = [t.name for t in view.tasks(*_WHOLE) if t.acks_late]
    if cut and view.is_cold and not view.app.soft_shutdown_timeout:
        cause, place = _cause(view)
        what = f"{cause}, and {_SOFT_SHUTDOWN} is 0: {named(cut)}"
        setting = "" if place else _SOFT_SHUTDOWN
        yield Problem(what, f"app.conf.{_SOFT_SHUTDOWN} = 5", place, setting)


@app_check(
    "GD503",
    NOTE,
    "`worker_soft_shutdown_timeout` where no worker makes a soft shutdown",
    why="Celery makes a soft shutdown at SIGQUIT only. At SIGTERM these workers wait for their"
    " tasks: until shortly before SIGKILL if they know their grace period, else without limit.",
    fix="`REMAP_SIGTERM=SIGQUIT`, or no such setting",
)
def unused_soft_shutdown(facts: Facts) -> Problems:
    seconds = facts.app.soft_shutdown_timeout
    views = [WorkerView(worker, facts) for worker in facts.workers]
    if seconds and views and not any(view.is_cold for view in views):
        yield Problem(
            f"{_SOFT_SHUTDOWN} = {seconds:g}, but SIGTERM is a warm stop in every worker here",
            "REMAP_SIGTERM=SIGQUIT in the worker's environment, or no soft shutdown",
            setting=_SOFT_SHUTDOWN,
        )


@app_check(
    "GD701",
    WARNING,
    "`result_expires` shorter than a task or a run",
    why="What is stored early (a state, the finished parts of a group or chord) expires before the"
    " end: `get()` waits forever, and a chord does not start.",
    fix="a longer `result_expires`",
)
def results(facts: Facts) -> Problems:
    expires = facts.app.result_expires
    taken = {task.name: task.longest or 0.0 for task in facts.app.of_kind(*_WHOLE)}
    for found in (facts.seen.longest, facts.seen.runs):
        for task, seconds in found.items():
            taken[task] = max(taken.get(task, 0.0), seconds)
    seconds, name = max(((s, task) for task, s in taken.items()), default=(0.0, ""))
    if expires is not None and seconds > expires:
        yield Problem(
            f"result_expires is {format_seconds(expires)}, and {name} takes up to"
            f" {format_seconds(seconds)}",
            f"app.conf.result_expires = {int(seconds * 2)}",
            setting="result_expires",
        )


@app_check(
    "GD702",
    WARNING,
    "A soft time limit that is not below the hard one",
    why="The task is killed before it gets SoftTimeLimitExceeded, and its `finally` does not run.",
    fix="`task_soft_time_limit` below `task_time_limit`",
)
def soft_after_hard(facts: Facts) -> Problems:
    names = [
        task.name
        for task in facts.app.tasks
        if task.time_limit and task.soft_time_limit and task.soft_time_limit >= task.time_limit
    ]
    if names:
        yield Problem(
            f"{named(names)}: the soft time limit is not below the hard one",
            "a task_soft_time_limit that is some seconds below task_time_limit",
            setting="task_soft_time_limit",
        )


@app_check(
    "GD703",
    ERROR,
    "`max_execution_time` of an iterable task is not below its time limit",
    why="The time limit comes first, and a hard limit ends the whole run as failed.",
    fix="leave `max_execution_time` out, or set it below the limit",
)
def long_executions(facts: Facts) -> Problems:
    for task in facts.app.of_kind(Kind.ITERABLE):
        limit, longest = task.longest, task.max_execution_time
        if limit is None or not task.max_execution_time_is_given:
            continue
        if longest is None or longest >= limit:
            take = "have no end" if longest is None else f"take up to {format_seconds(longest)}"
            yield Problem(
                f"executions of {task.name} {take}, and its time limit is {format_seconds(limit)}",
                "leave app.conf.graceful_max_execution_time out: it is 0.8 of the limit then",
                setting="graceful_max_execution_time",
            )


@app_check(
    "GD704",
    ERROR,
    "A task whose definition is wrong",
    why="`delay()` raises, and messages sent before wait in a queue; all other tasks run.",
    fix="the change that the message names",
)
def definitions(facts: Facts) -> Problems:
    for fault in facts.app.faults:
        task = fault.partition(" ")[0].rstrip(":")
        yield Problem(fault, "correct the definition, and restart the workers", setting=task)


@app_check(
    "GD705",
    WARNING,
    "A `yield` inside `transaction.atomic()` of Django, in a generator of a task",
    why="At a `yield` the run saves its checkpoint or stops. What is not committed then is undone,"
    " so the run refuses the checkpoint and fails.",
    fix="the block around the work of one item, ended before the `yield`; or `atomic =` for items"
    " and checkpoint in one transaction",
)
def open_blocks(facts: Facts) -> Problems:
    for found in facts.app.unsafe_yields:
        task = found.partition(" ")[0]
        yield Problem(found, "end the block before the yield", setting=task)

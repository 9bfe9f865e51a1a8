"""GD7xx: tasks: time limits, how long results are kept, definitions."""

from __future__ import annotations

from collections.abc import Iterator

from celery_graceful.doctor.checks.base import Check, Scene, Sight, named
from celery_graceful.doctor.facts import Kind
from celery_graceful.doctor.finding import Severity
from celery_graceful.durations import format_seconds

#: Those that take their whole time in one piece.
_WHOLE = (Kind.PLAIN, Kind.GRACEFUL)


def results(scene: Scene) -> Iterator[Sight]:
    """A result is gone before the work is done."""
    expires = scene.app.result_expires
    if expires is None:
        return
    taken = {task.name: task.longest or 0.0 for task in scene.app.of_kind(*_WHOLE)}
    for found in (scene.seen.longest, scene.seen.runs):
        for task, seconds in found.items():
            taken[task] = max(taken.get(task, 0.0), seconds)
    seconds, name = max(((s, task) for task, s in taken.items()), default=(0.0, ""))
    if seconds > expires:
        yield Sight(
            f"result_expires is {format_seconds(expires)}, and {name} takes up to"
            f" {format_seconds(seconds)}",
            f"app.conf.result_expires = {int(seconds * 2)}",
            setting="result_expires",
        )


def soft_after_hard(scene: Scene) -> Iterator[Sight]:
    """The soft limit never comes."""
    names = [
        task.name
        for task in scene.app.tasks
        if task.time_limit and task.soft_time_limit and task.soft_time_limit >= task.time_limit
    ]
    if names:
        yield Sight(
            f"{named(names)}: the soft time limit is not below the hard one",
            "a task_soft_time_limit that is some seconds below task_time_limit",
            setting="task_soft_time_limit",
        )


def executions(scene: Scene) -> Iterator[Sight]:
    """The hard limit ends a run that meant to leave."""
    for task in scene.app.of_kind(Kind.ITERABLE):
        limit = min((x for x in (task.time_limit, task.soft_time_limit) if x), default=None)
        if limit is None or not task.max_execution_time_is_given:
            continue
        if task.max_execution_time is None or task.max_execution_time >= limit:
            longest = task.max_execution_time
            executions = (
                "have no end" if longest is None else f"take up to {format_seconds(longest)}"
            )
            yield Sight(
                f"executions of {task.name} {executions}, and its time limit is"
                f" {format_seconds(limit)}",
                "leave app.conf.graceful_max_execution_time out: it is 0.8 of the limit then",
                setting="graceful_max_execution_time",
            )


def definitions(scene: Scene) -> Iterator[Sight]:
    """A task that cannot run as it is written."""
    for fault in scene.app.faults:
        task = fault.partition(" ")[0].rstrip(":")
        yield Sight(fault, "correct the definition, and restart the workers", setting=task)


CHECKS = (
    Check(
        "GD701",
        Severity.WARNING,
        "`result_expires` is shorter than a task or a run",
        "What is stored early (a state, the finished parts of a group or chord) is gone before the"
        " end: `get()` waits for ever, and a chord does not fire.",
        "a longer `result_expires`",
        results,
    ),
    Check(
        "GD702",
        Severity.WARNING,
        "A soft time limit that is not below the hard one",
        "The task is killed before it is told: no `finally`, no SoftTimeLimitExceeded.",
        "`task_soft_time_limit` below `task_time_limit`",
        soft_after_hard,
    ),
    Check(
        "GD703",
        Severity.ERROR,
        "`max_execution_time` of an iterable task is not below its time limit",
        "The limit strikes first, and a hard limit ends the whole run as failed.",
        "leave `max_execution_time` out, or set it below the limit",
        executions,
    ),
    Check(
        "GD704",
        Severity.ERROR,
        "A task that is not written as it has to be",
        "`delay()` raises, and messages that are there already wait in a queue; all other tasks"
        " run.",
        "the change that the message names",
        definitions,
    ),
)

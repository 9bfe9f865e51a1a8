"""What is to be started, checked before anything is sent."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypedDict

from celery_graceful.durations import parse
from celery_graceful.errors import CursorError, StartRefused, UnknownTask
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run_options import RunOptions, checked_tags
from celery_graceful.runs.oneoff import dry_runs
from celery_graceful.runs.oneoff.once import check_key

#: For how long it is known that a key has completed.
KEEP = timedelta(days=365)
#: What a cursor may take, as text: each write of the run's record has it.
_MOST_CURSOR = 8 * 1024
_NEAR = 3
#: Characters of an id that a caller gives.
_MOST_ID = 200


@dataclass(frozen=True, slots=True)
class Order:
    """A run that is to be started."""

    task: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: RunOptions
    queue: str | None = None
    priority: int | None = None
    #: The id that the run is to have; empty: a new one.
    id: str = ""


class StartOptions(TypedDict, total=False):
    """What ``graceful.runs.start`` may be asked besides task and arguments."""

    #: Begin behind it: any value that a cursor may be.
    cursor: Any
    #: A key. Nothing is started if a run of it is under way or has completed; that run is returned
    #: then. After one that failed or was cancelled, a new one is started.
    once: str | None
    #: For how long it is known that the key has completed; a year by default.
    keep: float | str | timedelta
    #: Pause after so many items, until somebody resumes the run.
    pause_after: int | None
    #: End after so many items.
    limit: int | None
    #: Pass ``dry_run=True`` to the task, which has to offer it.
    dry_run: bool
    #: Where its messages go; by default where the task is routed to.
    queue: str | None
    #: Of its messages.
    priority: int | None
    #: The id that the run is to have. If the task has a run of this id, that one is returned.
    id: str | None
    #: Words to find it by, such as ``"orders.import:42"``: at most 20 of 200 characters each.
    tags: Sequence[str]


def make_order(
    app: Any,
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None,
    who: str,
    given: StartOptions,
) -> Order:
    """Check what is asked for.

    Raises:
        UnknownTask: the app has no such task; the message names similar ones.
        StartRefused: it is no iterable task, or offers no dry run.
        DefinitionError: it is not written as an iterable task has to be.
        CursorError: the cursor cannot be kept.
        TypeError: there is no such option.
        ValueError: another argument cannot be what it is; the message says which and why.
    """
    if unknown := sorted(given.keys() - StartOptions.__annotations__.keys()):
        known = ", ".join(StartOptions.__annotations__)
        raise TypeError(f"start has no option {unknown[0]!r}; its options are {known}")
    once, dry_run = given.get("once"), bool(given.get("dry_run"))
    task = _found(app, name)
    task.raise_faults()
    own = dict(kwargs or {})
    if isinstance(args, (str, bytes)):
        raise ValueError(f"args: {args!r:.100} is one text; write a list of arguments")
    if "cursor" in own:
        raise ValueError("kwargs: write cursor as an argument of its own")
    if dry_run:
        _check_dry_run(task, own)
        if dry_runs.is_argument(task):
            own[dry_runs.NAME] = True
    pause_after = _count("pause_after", given.get("pause_after"))
    limit = _count("limit", given.get("limit"))
    if pause_after and app.conf.task_always_eager:
        raise ValueError("pause_after: task_always_eager runs the task at once, without a pause")
    if limit and pause_after >= limit:
        raise ValueError(
            f"pause_after: {pause_after} is not less than limit, {limit}: the run would end first"
        )
    options = RunOptions(
        once=_key(once),
        keep=_keep(given) if once is not None else 0.0,
        pause_after=pause_after,
        limit=limit,
        dry_run=dry_run,
        cursor=_cursor(task, given.get("cursor")),
        by=who[:200],
        tags=checked_tags(given.get("tags") or ()),
    )
    queue, priority = given.get("queue"), given.get("priority")
    return Order(task, tuple(args), own, options, queue, priority, _id(given.get("id")))


def _found(app: Any, name: str) -> Any:
    app.finalize(auto=True)
    task = app.tasks.get(name)
    if task is None:
        near = difflib.get_close_matches(name, _iterable_tasks(app), _NEAR)
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else _all_tasks(app)
        raise UnknownTask(f"the app {app.main or 'celery'!r} has no task {name!r}. {hint}")
    if not hasattr(task, "build_enumerator"):
        raise StartRefused(
            f"{name} is not an iterable task, so it has neither items nor a cursor. Send it by"
            f" `celery -A PROJECT call {name}` or its delay(), or write it with iterable_task."
        )
    return task


def _iterable_tasks(app: Any) -> list[str]:
    return sorted(each for each, task in app.tasks.items() if hasattr(task, "build_enumerator"))


def _all_tasks(app: Any) -> str:
    names = _iterable_tasks(app)
    if not names:
        return "It has no iterable task; are the modules with tasks imported?"
    more = ", …" if len(names) > 10 else ""
    return f"Its iterable tasks: {', '.join(names[:10])}{more}"


def _check_dry_run(task: Any, kwargs: Mapping[str, Any]) -> None:
    if dry_runs.NAME in kwargs:
        raise ValueError("kwargs: dry_run is given twice; leave it out of kwargs")
    if not dry_runs.offered(task):
        where = "the generator" if task.body is not None else "each_iteration"
        raise StartRefused(
            f"{task.name} offers no dry run, and would change things. Give {where} a parameter"
            " `*, dry_run=False`, and have it change nothing when that is true."
        )


def _count(name: str, value: int | None) -> int:
    if value is None:
        return 0
    if type(value) is not int or value < 1:
        raise ValueError(f"{name}: {value!r} is not a number of items; write 1 or more")
    return value


def _id(value: str | None) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or not value or len(value) > _MOST_ID or not value.isprintable():
        raise ValueError(f"id: {value!r:.100} is not a text of 1 to {_MOST_ID} characters")
    return value


def _keep(given: StartOptions) -> float:
    seconds = parse(given.get("keep", KEEP))
    if not seconds:
        raise ValueError(f"keep: {given.get('keep')!r} is no time at all. Example: 90d")
    return seconds


def _key(once: str | None) -> str:
    if once is None:
        return ""
    check_key(once)
    return once


def _cursor(task: Any, cursor: Any) -> str:
    if cursor is None:
        return ""
    text = encode(Checkpoint(cursor, version=task.cursor_version))
    if len(text) > _MOST_CURSOR:
        raise CursorError(f"cursor takes {len(text)} bytes, at most {_MOST_CURSOR} are allowed")
    return text

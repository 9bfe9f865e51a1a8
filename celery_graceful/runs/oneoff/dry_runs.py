"""Which functions of a task know dry runs: those that name a parameter ``dry_run``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

NAME = "dry_run"


def parameter(function: Callable[..., Any]) -> inspect.Parameter | None:
    """The parameter ``dry_run`` of a function; ``None``: it names none."""
    try:
        return inspect.signature(function).parameters.get(NAME)
    except (TypeError, ValueError):  # of a callable that has none
        return None


def takes_dry_run(function: Callable[..., Any]) -> bool:
    """Whether ``dry_run=True`` can be passed to a function, which names that parameter."""
    named = parameter(function)
    return named is not None and named.kind in (named.POSITIONAL_OR_KEYWORD, named.KEYWORD_ONLY)


def is_argument(task: Any) -> bool:
    """Whether ``dry_run`` is an argument of the run itself: all of its functions get it."""
    return takes_dry_run(task.build_enumerator if task.body is None else task.body)


def offered(task: Any) -> bool:
    """Whether an iterable task can be run so that nothing is changed."""
    return is_argument(task) or (task.body is None and takes_dry_run(task.each_iteration))


def dry_run_faults(build: Callable[..., Any], each: Callable[..., Any]) -> list[str]:
    """What is wrong with ``dry_run`` of ``each_iteration``, which is not always passed.

    Args:
        build: ``build_enumerator``, whose other parameters are the run's arguments.
        each: ``each_iteration``; both as functions of a class.
    """
    named = parameter(each)
    if named is None or parameter(build) is not None:
        return []
    write = "write `*, dry_run=False`"
    if named.kind is named.POSITIONAL_ONLY:
        return [f"dry_run of each_iteration is passed by name; {write}"]
    if named.kind in (named.VAR_POSITIONAL, named.VAR_KEYWORD):
        return []
    if named.default is named.empty:
        return [f"dry_run of each_iteration needs a default: only a dry run passes it; {write}"]
    if named.kind is named.POSITIONAL_OR_KEYWORD and _is_reached(build, each):
        return [f"an argument of the run may be taken for dry_run of each_iteration; {write}"]
    return []


def _is_reached(build: Callable[..., Any], each: Callable[..., Any]) -> bool:
    """Whether a positional argument of the run comes where ``each_iteration`` has ``dry_run``."""
    arguments = list(inspect.signature(build).parameters.values())[1:]
    place = list(inspect.signature(each).parameters).index(NAME) - 2  # the task, the item
    by_place = [a for a in arguments if a.kind in (a.POSITIONAL_ONLY, a.POSITIONAL_OR_KEYWORD)]
    takes_any = any(a.kind is a.VAR_POSITIONAL for a in arguments)
    return takes_any or len([a for a in by_place if a.name != "cursor"]) > place

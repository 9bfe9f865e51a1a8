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

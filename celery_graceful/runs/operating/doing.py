"""From a verb to what it does."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from celery_graceful.model.run.verbs import Verb
from celery_graceful.runs.lookup import Found
from celery_graceful.runs.operating import changes
from celery_graceful.runs.operating.changes import EVENTS, Asked, Change
from celery_graceful.runs.operating.deletions import delete
from celery_graceful.runs.operating.forking import fork
from celery_graceful.runs.operating.replays import replay
from celery_graceful.runtime import Runtime

#: The verbs that are more, or something else, than an event of the run.
_OWN_WAY: Mapping[Verb, Callable[..., Change]] = {
    Verb.FORK: fork,
    Verb.DELETE: delete,
    Verb.REPLAY: replay,
}


def do(runtime: Runtime, found: Found, asked: Asked) -> Change:
    """Do what an operator asks.

    Raises:
        TypeError: the verb has no such argument, or lacks one.
        RunRefused: the verb does not apply to the run.
    """
    own = _OWN_WAY.get(asked.verb)
    _check_arguments(asked, own or EVENTS[asked.verb])
    if own is None:
        return changes.apply(runtime, found, asked)
    return own(runtime, found, asked, **asked.arguments)


def _check_arguments(asked: Asked, function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return  # which checks them itself
    own = [each for each in parameters if each.kind is each.KEYWORD_ONLY]
    if unknown := sorted(asked.arguments.keys() - {each.name for each in own}):
        raise TypeError(f"{asked.verb} has no argument {unknown[0]!r}")
    missing = [each.name for each in own if each.default is each.empty]
    if lacking := sorted(set(missing) - asked.arguments.keys()):
        raise TypeError(f"{asked.verb} needs the argument {lacking[0]!r}")

"""What the forms of verbs ask for beside the reason: cursors, intervals, queues."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from celery_graceful.durations import parse
from celery_graceful.model.run.verbs import Verb
from celery_graceful.runs.plain_run import Run
from celery_graceful.web.http import Fields
from celery_graceful.web.rendering.shown_values import as_json


class WrongArguments(Exception):
    """What was written cannot be what it is."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in errors.items()))
        #: By the names of the fields.
        self.errors = errors


def arguments_of(verb: Verb, form: Fields, run: Callable[[], Run]) -> dict[str, Any]:
    """The arguments of ``graceful.runs.apply`` that a form has for this verb.

    Args:
        verb: what is asked for.
        form: as it was sent.
        run: reads the run, where its cursor is needed.

    Raises:
        WrongArguments: a field cannot be what it is.
    """
    if verb in (Verb.REWIND, Verb.FORK):
        given = _cursor(form, run)
        if verb is Verb.REWIND and not given:
            raise WrongArguments({"cursor": "Write a cursor; null is the beginning."})
        return given
    if verb is Verb.ADJUST:
        return _adjusted(form)
    if verb is Verb.REPLAY:
        return _items(form)
    return {}


def _cursor(form: Fields, run: Callable[[], Run]) -> dict[str, Any]:
    text = form.get("cursor").strip()
    if not text:
        return {}
    now = run()
    # What was not changed is passed on as it is: JSON does not tell a moment from its text.
    if now.carry is not None and not now.unreadable and text == as_json(now.cursor):
        return {"cursor": now.cursor}
    try:
        return {"cursor": json.loads(text, parse_constant=_no_constant)}
    except (ValueError, RecursionError) as exc:
        why = f'This is no JSON: {exc}. Write 41, "a text" or [1, 2].'
        raise WrongArguments({"cursor": why}) from exc


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _adjusted(form: Fields) -> dict[str, Any]:
    found: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, read in _ADJUSTED.items():
        text = form.get(name).strip()
        if text:
            try:
                found[name] = read(text)
            except ValueError as exc:
                errors[name] = str(exc)
    if not found and not errors:
        errors["checkpoint_interval"] = "Write at least one of these."
    if errors:
        raise WrongArguments(errors)
    return found


def _items(form: Fields) -> dict[str, Any]:
    if form.get("which") == "selected":
        numbers = [text for text in form.all("item") if text.isascii() and text.isdigit()]
        if not numbers:
            raise WrongArguments({"item": "No item was selected."})
        return {"items": [int(text[:16]) for text in numbers]}
    return {}


def _whole(text: str) -> int:
    try:
        return int(text[:16])
    except ValueError as exc:
        raise ValueError(f"{text[:40]!r} is no whole number") from exc


_ADJUSTED: dict[str, Callable[[str], Any]] = {
    "checkpoint_interval": parse,
    "batch_size": _whole,
    "priority": _whole,
    "queue": str,
}

"""What a saved message asks for, as it may be shown: arguments without secrets, and who sent it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from celery.utils.saferepr import saferepr

from celery_graceful._celery.message.bodies import read_body
from celery_graceful._celery.message.envelope import Envelope
from celery_graceful.errors import CorruptRecord
from celery_graceful.text.masked_values import MOST_TEXT, Shown, cut
from celery_graceful.text.masking import MASK, mask_text

logger = logging.getLogger("celery_graceful.runs")

#: Names of arguments, or a function of the task's name and the arguments that returns others.
Mask = Collection[str] | Callable[[str, Sequence[Any], Mapping[str, Any]], Any]

#: What can be read without running code that somebody has put into it.
_READABLE = ("application/json", "application/x-msgpack", "application/x-yaml")
#: Longer bodies are not read to be shown, in bytes.
_LONGEST = 256 * 1024


class ShownCall(NamedTuple):
    """The arguments in JSON's types, or as a text; who sent it, and its priority."""

    args: Any = None
    kwargs: Any = None
    sent_by: str | None = None
    priority: int | None = None


def shown_call(app: Any, task: str, message: Envelope, mask: Mask) -> ShownCall:
    """A message as it may be shown.

    Arguments are those of the body, unless the sender wants others shown (``argsrepr``,
    ``kwargsrepr``): then these.
    """
    headers = message.headers
    given = (_text(headers.get("argsrepr")), _text(headers.get("kwargsrepr")))
    args, kwargs = _arguments(app, task, message, mask, given)
    origin = _text(headers.get("origin"))
    return ShownCall(args, kwargs, origin, message.properties.get("priority"))


def _arguments(
    app: Any, task: str, message: Envelope, mask: Mask, given: tuple[str | None, str | None]
) -> tuple[Any, Any]:
    if message.content_type not in _READABLE or len(message.body) > _LONGEST:
        # By their names alone nothing in a text can be hidden.
        return (None, None) if mask else given
    try:
        args, kwargs, _ = read_body(app, message)
    except CorruptRecord:
        return None, None
    hides = _hides(app, given, args, kwargs)
    names: Collection[str] = ()
    if callable(mask):
        try:
            args, kwargs = mask(task, args, kwargs)
            args, kwargs = tuple(args), dict(kwargs)
        except Exception:  # rather nothing is shown than what it was to hide
            logger.exception("graceful_mask failed for the arguments of %s, which are hidden", task)
            return None, None
    else:
        names = mask
    shown = Shown(names)
    parameters = _parameters(app, task)
    # In a text, nothing can be hidden by its name; and without names, any may be that.
    is_any_secret = bool(mask) and (
        callable(mask) or parameters is None or any(map(shown.is_secret, parameters))
    )
    if hides[0]:
        shown_args: Any = MASK if is_any_secret else given[0]
    elif parameters is None and names:
        shown_args = [MASK] * len(args)
    else:
        shown_args = _positional(args, parameters or (), shown)
    if not hides[1]:
        return shown_args, shown.mapping(kwargs)
    is_any_secret = callable(mask) or any(map(shown.is_secret, kwargs))
    return shown_args, MASK if is_any_secret else given[1]


def _positional(args: Sequence[Any], parameters: Sequence[str], shown: Shown) -> list[Any]:
    wanted = args[: len(parameters)]
    named = [shown.named(name, value) for name, value in zip(parameters, wanted, strict=False)]
    return [*named, *shown.value(list(args[len(named) :]))]


def _parameters(app: Any, task: str) -> list[str] | None:
    """The names of what a task takes, in their order; ``None`` where it is not known here."""
    registered = app.tasks.get(task)
    if registered is None:
        return None
    try:
        taken = inspect.signature(registered.run).parameters.values()
    except (TypeError, ValueError):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [each.name for each in taken if each.kind in positional]


def _hides(
    app: Any, given: tuple[str | None, str | None], args: Any, kwargs: Any
) -> tuple[bool, bool]:
    """Whether the sender wants something else shown than Celery would, for both kinds."""
    levels = app.conf.get("task_repr_maxlevels")
    more = {} if levels is None else {"maxlevels": levels}
    usual = (
        saferepr(args, app.amqp.argsrepr_maxsize, **more),
        saferepr(kwargs, app.amqp.kwargsrepr_maxsize, **more),
    )
    first, second = (
        text is not None and _levelled(text) != _levelled(_text(own) or "")
        for text, own in zip(given, usual, strict=True)
    )
    return first, second


def _levelled(text: str) -> str:
    """Without what a serializer changes: tuples become lists."""
    return text.replace("(", "[").replace(",)", "]").replace(")", "]").replace(" ", "")


def _text(value: Any) -> str | None:
    return mask_text(cut(value, MOST_TEXT)) if isinstance(value, str) else None

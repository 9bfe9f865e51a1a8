"""What came back of a form: the arguments and options of a start, or what is wrong at which field.

Pure but for what the task's own models of Pydantic do when they validate.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from inspect import Parameter
from typing import Any

from celery_graceful.execution.run_task import models_of
from celery_graceful.views.start_form.form import OPTION, Field, Form
from celery_graceful.views.start_form.kinds import Kind, Zone, read_value, sendable

#: A value that is left to the task's own default.
_LEFT = object()
_IDS = uuid.UUID("5b0b7a3e-6d43-4a0a-9f3b-0c6d1f1c7a52")


@dataclass(frozen=True, slots=True)
class Submission:
    """A form that came back."""

    #: As it was written, by input.
    values: Mapping[str, str]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] | None = None
    #: For ``graceful.runs.start``.
    options: Mapping[str, Any] | None = None
    #: What is wrong, by input; ``""``: with the form as a whole.
    errors: Mapping[str, str] | None = None

    @property
    def ok(self) -> bool:
        """Whether it can be started."""
        return not self.errors


def read_form(form: Form, values: Mapping[str, str]) -> Submission:
    """What was written into a form."""
    kept = {f.input: values.get(f.input, f.default_text or "") for f in form.fields}
    errors: dict[str, str] = {}
    found: dict[str, Any] = {}
    for each in form.fields:
        try:
            found[each.input] = _value(form, each, kept[each.input])
        except ValueError as exc:
            is_quoted = each.secret and kept[each.input]
            errors[each.input] = f"It is no {each.kind}." if is_quoted else str(exc)
    if errors:
        return Submission(kept, errors=errors)
    try:
        args, kwargs = _arguments(form, found)
    except ValueError as exc:
        return Submission(kept, errors={"": str(exc)})
    options = _options(form, found)
    errors = dict(_whole_errors(form, args, kwargs))
    return Submission(kept, args, kwargs, options, errors)


def run_id(form: Form, token: str, values: Mapping[str, str]) -> str:
    """The id of the run that a form starts: sent twice, it is one run.

    What was changed before it was sent again makes another run of it.

    Args:
        form: the form.
        token: what this copy of the form has, and no other.
        values: as they were written.
    """
    whole = json.dumps([form.name, token, sorted(values.items())])
    return str(uuid.uuid5(_IDS, hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()))


def field_of_error(form: Form, message: str) -> str:
    """The input that an error of ``graceful.runs.start`` is about; ``""``: none of them."""
    name = message.partition(":")[0]
    return next((f.input for f in form.options if f.name == name), "")


def _value(form: Form, field: Field, text: str) -> Any:
    text = text.replace("\r\n", "\n")
    if field.has_default and text == (field.default_text or ""):
        return _LEFT
    if not (text if field.kind is Kind.TEXT else text.strip()):
        return _empty(field)
    zone = field.zone or Zone(form.task.app.timezone, "")
    value = read_value(field.kind, text, zone, field.choices)
    _check_rest(form, field, value)
    _check_bounds(field, value)
    return _sent(form, value)


def _sent(form: Form, value: Any) -> Any:
    """A value as a message carries it."""
    serializer = str(form.task.serializer or form.task.app.conf.task_serializer)
    if isinstance(value, Enum) and serializer != "pickle":
        value = value.value
    if not sendable(value, serializer):
        raise ValueError(f"{value!r:.100} cannot be sent as {serializer}.")
    return value


def _empty(field: Field) -> Any:
    if field.nullable:
        return None
    if field.kind is Kind.TEXT and field.default_text:
        return ""  # the default was deleted
    if field.has_default:
        return _LEFT
    raise ValueError("Write a value: the task needs it.")


def _check_rest(form: Form, field: Field, value: Any) -> None:
    if field.name.startswith("**"):
        if not isinstance(value, dict):
            raise ValueError('It has to be a JSON object. Example: {"name": 1}')
        if twice := sorted(value.keys() & {"cursor", *(f.name for f in form.fields)}):
            raise ValueError(f"{twice[0]} has a field of its own.")
    elif field.name.startswith("*") and not isinstance(value, list):
        raise ValueError('It has to be a JSON list. Example: [1, "two"]')


def _check_bounds(field: Field, value: Any) -> None:
    if not isinstance(value, (int, float, Decimal)) or isinstance(value, bool):
        return
    if field.least and value < Decimal(field.least):
        raise ValueError(f"{value} is less than {field.least}.")
    if field.most and value > Decimal(field.most):
        raise ValueError(f"{value} is more than {field.most}.")


def _arguments(form: Form, found: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """By name, but for those that only have a place, and those before ``*args``."""
    more: Any = _LEFT
    for each in form.arguments:
        if each.parameter is not None and each.parameter.kind is Parameter.VAR_POSITIONAL:
            more = found[each.input]
    rest: list[Any] = [] if more is _LEFT else more
    by_place = [Parameter.POSITIONAL_ONLY, *([Parameter.POSITIONAL_OR_KEYWORD] if rest else [])]
    placed: list[tuple[Any, Any]] = []
    kwargs: dict[str, Any] = {}
    for each in form.arguments:
        value, kind = found[each.input], each.parameter and each.parameter.kind
        if kind in by_place:
            placed.append((value, each.default))
        elif kind is Parameter.VAR_KEYWORD:
            kwargs.update({} if value is _LEFT else value)
        elif kind is not Parameter.VAR_POSITIONAL and value is not _LEFT:
            kwargs[each.name] = value
    while not rest and placed and placed[-1][0] is _LEFT:
        placed.pop()
    args = [_sent(form, default) if value is _LEFT else value for value, default in placed]
    return (*args, *rest), kwargs


def _options(form: Form, found: Mapping[str, Any]) -> dict[str, Any]:
    given = {f.name: found[f.input] for f in form.options}
    options = {name: v for name, v in given.items() if v is not _LEFT and v not in (None, "")}
    if "tags" in options:
        tags = (each.strip() for each in str(options["tags"]).split(","))
        options["tags"] = tuple(dict.fromkeys(filter(None, tags)))
    return options


def _whole_errors(
    form: Form, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """What is wrong with the arguments together, or by the task's own models."""
    try:
        form.signature.bind(*args, **kwargs)
    except TypeError as exc:
        yield "", f"The task cannot take these arguments: {exc}."
        return
    models = models_of(form.task)
    if models is None:
        return
    try:
        models.validate(args, kwargs)
    except Exception as exc:  # Pydantic's own, or of a validator
        title = str(getattr(exc, "title", ""))
        where = next((f.input for f in form.arguments if title and f.type == title), "")
        yield where, _told(exc)


def _told(exc: Exception) -> str:
    errors = getattr(exc, "errors", None)
    if not callable(errors):
        return f"{exc}"[:1000]
    lines = [f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in errors()[:10]]
    return "; ".join(lines)


def option_input(name: str) -> str:
    """The input of an option of a start."""
    return f"{OPTION}{name}"

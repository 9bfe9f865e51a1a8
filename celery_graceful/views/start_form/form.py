"""The form that starts a task: a field for each argument, and those for the options of a start."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from inspect import Parameter
from typing import Any

from celery_graceful.runs.oneoff import dry_runs
from celery_graceful.runs.oneoff.start_order import StartOptions
from celery_graceful.runtime import runtime_of
from celery_graceful.text.masked_values import Shown
from celery_graceful.text.printable import printable
from celery_graceful.views.start_form.annotations import hint_of, hints_of
from celery_graceful.views.start_form.docstrings import arguments_in, summary_of
from celery_graceful.views.start_form.kinds import Choice, Kind, Zone, shown_value

#: What names of inputs begin with: arguments may have the names of options.
ARGUMENT, OPTION = "arg.", "opt."
_LONGEST_DEFAULT = 200


@dataclass(frozen=True, slots=True)
class Field:
    """One field. All texts are as they come from the project's code: escape them."""

    #: The parameter or option, and the name of its input.
    name: str
    input: str
    kind: Kind
    required: bool = False
    #: Whether ``None`` is among its values: it is what an empty field means then.
    nullable: bool = False
    has_default: bool = False
    #: The default: the value, and as it stands in the field (``None``: it cannot stand there).
    default: Any = None
    default_text: str | None = None
    help: str = ""
    #: The type hint, for people.
    type: str = ""
    choices: tuple[Choice, ...] = ()
    #: Names that are suggested, where others are fine as well.
    suggestions: tuple[str, ...] = ()
    least: str = ""
    most: str = ""
    zone: Zone | None = None
    parameter: Parameter | None = None
    #: Its value is not to be shown: by ``graceful_mask``, or by its name.
    secret: bool = False

    @property
    def left_empty(self) -> str:
        """What an empty field means, for people; empty: nothing that needs to be said."""
        if self.secret:
            return "Left empty: the task's own." if self.has_default else ""
        if self.has_default and self.default_text is None and self.default is not None:
            return f"Left empty: {printable(repr(self.default))[:_LONGEST_DEFAULT]}"
        if self.nullable and self.default_text:
            return "Left empty: None"
        return ""


@dataclass(frozen=True, slots=True)
class Form:
    """How one task is started."""

    task: Any
    name: str
    #: What the task does, by its docstring.
    about: str
    arguments: tuple[Field, ...]
    options: tuple[Field, ...]
    #: Changes when fields do: a form from before is read by other rules.
    fingerprint: str
    signature: inspect.Signature = field(repr=False)

    @property
    def fields(self) -> tuple[Field, ...]:
        """All fields, in their order."""
        return self.arguments + self.options


def startable(app: Any) -> list[str]:
    """The names of an app's iterable tasks, its modules imported."""
    app.loader.import_default_modules()
    app.finalize(auto=True)
    return sorted(name for name, task in app.tasks.items() if hasattr(task, "build_enumerator"))


def make_form(task: Any) -> Form:
    """The form of an iterable task.

    Raises:
        DefinitionError: it is not written as an iterable task has to be.
    """
    task = task.app.tasks[task.name]  # and not a decorator's promise of it
    task.raise_faults()
    source = _source(task)
    signature, hints = inspect.signature(task.run), hints_of(source)
    said = {**arguments_in(type(task).__doc__), **arguments_in(source.__doc__)}
    zone, shown = _zone(task.app), _shown(task.app)
    hidden = {"cursor", dry_runs.NAME} if dry_runs.is_argument(task) else {"cursor"}
    arguments = tuple(
        _argument(each, hints.get(name, each.annotation), said.get(name, ""), zone, shown)
        for name, each in signature.parameters.items()
        if name not in hidden
    )
    options = tuple(_options(task, said.get("cursor", "")))
    about = summary_of(task.__doc__ if task.body is not None else type(task).__doc__)
    marks = [(f.input, str(f.kind), f.required, f.default_text) for f in (*arguments, *options)]
    return Form(
        task=task,
        name=str(task.name),
        about=about or summary_of(source.__doc__ if task.body is None else None),
        arguments=arguments,
        options=options,
        fingerprint=hashlib.sha256(repr((task.name, marks)).encode()).hexdigest()[:16],
        signature=signature,
    )


def _source(task: Any) -> Any:
    """What the arguments are written in."""
    body = inspect.getattr_static(type(task), "body", None)
    if body is None:
        return inspect.unwrap(type(task).build_enumerator)
    return inspect.unwrap(getattr(body, "__func__", body))


def _zone(app: Any) -> Zone:
    return Zone(app.timezone, str(app.timezone))


def _shown(app: Any) -> Shown:
    """Which names are secret. A function as ``graceful_mask`` knows arguments of messages only."""
    mask = runtime_of(app).settings.mask
    return Shown(() if callable(mask) else mask)


def _argument(parameter: Parameter, annotation: Any, said: str, zone: Zone, masks: Shown) -> Field:
    name = parameter.name
    if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
        return _rest(parameter, said)
    default, has_default = parameter.default, parameter.default is not Parameter.empty
    hint = hint_of(annotation, default, name)
    if isinstance(default, datetime) and default.tzinfo is None:
        zone = Zone(zone.tz, zone.name, naive=True)
    shown, secret = None, masks.is_secret(name)
    if has_default and default is not None and not secret:
        shown = shown_value(hint.kind, default, zone, hint.choices)
    return Field(
        name=name,
        input=f"{ARGUMENT}{name}",
        kind=hint.kind,
        required=not has_default and not hint.nullable,
        nullable=hint.nullable,
        has_default=has_default,
        default=default if has_default else None,
        default_text=shown,
        help=said or hint.help,
        type=hint.shown,
        choices=hint.choices,
        least=hint.least,
        most=hint.most,
        zone=zone if hint.kind is Kind.DATETIME else None,
        parameter=parameter,
        secret=secret,
    )


def _rest(parameter: Parameter, said: str) -> Field:
    """``*args`` and ``**kwargs``, which nobody knows more of."""
    by_place = parameter.kind is Parameter.VAR_POSITIONAL
    stars, of = ("*", "list") if by_place else ("**", "object")
    help = f"More arguments, as a JSON {of}" if not said else f"{said} (as a JSON {of})"
    return Field(
        name=f"{stars}{parameter.name}",
        input=f"{ARGUMENT}{stars}{parameter.name}",
        kind=Kind.JSON,
        has_default=True,
        help=help,
        parameter=parameter,
    )


# -- the options of a start -------------------------------------------------------------------

_OPTIONS: dict[str, tuple[Kind, str]] = {
    "cursor": (Kind.JSON, "Begin behind this cursor; left empty: at the beginning."),
    "once": (
        Kind.TEXT,
        "A key, such as backfill-2026-11: nothing starts if a run of it is under way or completed.",
    ),
    "pause_after": (Kind.WHOLE, "Pause after so many items, until somebody resumes the run."),
    "limit": (Kind.WHOLE, "End after so many items."),
    "dry_run": (Kind.YES_NO, "Process the items and change nothing."),
    "queue": (Kind.TEXT, "Left empty: where the task is routed to."),
    "priority": (Kind.WHOLE, "Of its messages; left empty: the task's own."),
    "tags": (Kind.TEXT, "Separated by commas; runs can be found by them."),
}


def _options(task: Any, cursor_help: str) -> Iterable[Field]:
    for name, (kind, help) in _OPTIONS.items():
        if name not in StartOptions.__annotations__:
            continue
        if name == "dry_run":
            if dry_runs.offered(task):
                yield _option(name, kind, help, has_default=True, default=False, default_text="no")
        elif name == "queue":
            queues = tuple(sorted(map(str, task.app.amqp.queues)))
            yield _option(name, kind, help, suggestions=queues)
        elif name in ("pause_after", "limit"):
            yield _option(name, kind, help, least="1")
        elif name == "priority":
            yield _option(name, kind, help, least="0", most="255")
        elif name == "cursor" and cursor_help:
            yield _option(name, kind, f"{help} {cursor_help}")
        else:
            yield _option(name, kind, help)


def _option(name: str, kind: Kind, help: str, **more: Any) -> Field:
    nullable = "default" not in more
    return Field(name, f"{OPTION}{name}", kind, nullable=nullable, help=help, **more)

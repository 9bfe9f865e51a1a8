"""Which kind of field a parameter's type hint asks for."""

from __future__ import annotations

import os
import pathlib
import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from inspect import Parameter
from typing import Any
from uuid import UUID

from celery_graceful.views.start_form.kinds import Choice, Kind

#: The types with a field of their own; before those that they derive from.
_PLAIN: tuple[tuple[type, Kind], ...] = (
    (bool, Kind.YES_NO),
    (int, Kind.WHOLE),
    (float, Kind.NUMBER),
    (Decimal, Kind.DECIMAL),
    (datetime, Kind.DATETIME),
    (date, Kind.DATE),
    (time, Kind.TIME),
    (UUID, Kind.UUID),
    (pathlib.PurePath, Kind.PATH),
    (str, Kind.TEXT),
)
#: Texts with such names are paths.
_PATH_NAME = re.compile(r"(?:.*_)?(?:path|file|filename|filepath)", re.IGNORECASE)
#: More than these are no choice but a list to search.
_MOST_CHOICES = 200
_LONGEST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Hint:
    """What a type hint says of a field."""

    kind: Kind
    #: Whether ``None`` is among its values.
    nullable: bool = False
    choices: tuple[Choice, ...] = ()
    #: As people read it.
    shown: str = ""
    #: What the hint itself says of its meaning (``Annotated``), and the bounds of a number.
    help: str = ""
    least: str = ""
    most: str = ""


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The resolved type hints of a function's parameters, each by itself.

    A name that is imported for type checks only makes one hint unreadable, not all.
    """
    try:
        written = getattr(function, "__annotations__", None) or {}
    except NameError:  # Python 3.14 evaluates them now
        return {}
    names = getattr(function, "__globals__", {})
    found = {}
    for name, hint in dict(written).items():
        holder = types.SimpleNamespace(__annotations__={name: hint})
        try:
            found[name] = typing.get_type_hints(holder, names, include_extras=True)[name]
        except Exception:  # a hint is an expression, and may raise anything
            found[name] = _BY_NAME.get(str(hint), Any)
    return found


_BY_NAME: dict[str, Any] = {kind.__name__: kind for kind, _ in _PLAIN}


def hint_of(annotation: Any, default: Any, name: str) -> Hint:
    """The field for one parameter.

    Args:
        annotation: its resolved type hint; ``Parameter.empty`` without one.
        default: its default, which says something where there is no hint.
        name: its name.
    """
    if annotation is Parameter.empty:
        annotation = type(default) if _tells_type(default) else Any
    hint = _read(annotation)
    unknown = annotation is Any and not _tells_type(default)
    if (hint.kind is Kind.TEXT or unknown) and _PATH_NAME.fullmatch(name):
        hint = replace(hint, kind=Kind.PATH)
    if default is None and not hint.nullable:
        hint = replace(hint, nullable=True)
    return replace(hint, shown=_shown(annotation))


def _tells_type(default: Any) -> bool:
    return default is not Parameter.empty and default is not None


def _read(annotation: Any) -> Hint:
    while True:
        inner = getattr(annotation, "__supertype__", None)  # of a NewType
        if inner is None and type(annotation).__name__ == "TypeAliasType":
            inner = annotation.__value__
        if inner is None:
            break
        annotation = inner
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _annotated(_read(inside[0]), inside[1:])
    if origin in (typing.Union, types.UnionType):
        return _union(inside)
    if origin is typing.Literal:
        return _choices([(repr(each), each) for each in inside if each is not None], None in inside)
    if isinstance(annotation, type):
        return _of_class(annotation)
    return Hint(Kind.JSON)


def _of_class(cls: type) -> Hint:
    if cls is type(None):
        return Hint(Kind.JSON, nullable=True)
    if issubclass(cls, Enum):
        return _choices([(member.name, member) for member in cls], False)
    for known, kind in _PLAIN:
        if issubclass(cls, known):
            return Hint(kind)
    if cls is os.PathLike:
        return Hint(Kind.PATH)
    return Hint(Kind.JSON)


def _union(inside: tuple[Any, ...]) -> Hint:
    rest = [each for each in inside if each is not type(None)]
    nullable = len(rest) < len(inside)
    kinds = [_read(each) for each in rest]
    if len(kinds) == 1:
        return replace(kinds[0], nullable=nullable or kinds[0].nullable)
    if {each.kind for each in kinds} == {Kind.TEXT, Kind.PATH}:  # str | Path
        return Hint(Kind.PATH, nullable)
    if {each.kind for each in kinds} == {Kind.WHOLE, Kind.NUMBER}:
        return Hint(Kind.NUMBER, nullable)
    return Hint(Kind.JSON, nullable)


def _choices(labelled: list[tuple[str, Any]], nullable: bool) -> Hint:
    if not 0 < len(labelled) <= _MOST_CHOICES:
        return Hint(Kind.JSON, nullable)
    found = tuple(
        Choice(str(place), label if isinstance(value, Enum) else _label(value), value)
        for place, (label, value) in enumerate(labelled)
    )
    return Hint(Kind.CHOICE, nullable, found)


def _label(value: Any) -> str:
    return value if isinstance(value, str) and value.strip() else repr(value)


def _annotated(hint: Hint, notes: tuple[Any, ...]) -> Hint:
    """What ``Annotated`` says besides: by PEP 727, ``annotated_types`` and Pydantic."""
    for note in (part for each in notes for part in (each, *_constraints(each))):
        text = getattr(note, "documentation", None) or getattr(note, "description", None)
        hint = replace(
            hint,
            help=text if isinstance(text, str) else hint.help,
            least=_bound(note, "ge") or hint.least,
            most=_bound(note, "le") or hint.most,
        )
    return hint


def _bound(note: Any, name: str) -> str:
    bound = getattr(note, name, None)
    is_number = isinstance(bound, (int, float, Decimal)) and not isinstance(bound, bool)
    return str(bound) if is_number else ""


def _constraints(note: Any) -> tuple[Any, ...]:
    """Pydantic's ``Field`` keeps them in a list."""
    inside = getattr(note, "metadata", ())
    return tuple(inside) if isinstance(inside, (list, tuple)) else ()


def _shown(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if annotation is Any:
        return ""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__[:_LONGEST_SHOWN]
    return re.sub(r"\b(?:typing|datetime|decimal|uuid|pathlib)\.", "", str(annotation))[
        :_LONGEST_SHOWN
    ]

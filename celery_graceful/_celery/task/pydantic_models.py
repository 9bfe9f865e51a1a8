"""``pydantic=True`` for tasks that are no plain functions, by Celery's own rules.

Celery wraps the function: it validates the arguments when that is called, and dumps its result. A
generator returns only when it is exhausted, and a class has no function.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Generator, Mapping
from functools import partial
from inspect import Parameter, Signature
from typing import Any, NamedTuple

from celery.app import base as _typed_base

#: Celery's type stubs leave out what is private in it.
base: Any = _typed_base
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


class Options(NamedTuple):
    """The options beside ``pydantic=True``, as Celery's decorators take them."""

    strict: bool = False
    context: dict[str, Any] | None = None
    dump_kwargs: dict[str, Any] | None = None


def options_in(function: Any) -> Options | None:
    """The options of a function that Celery has wrapped; ``None`` for others.

    They are nowhere else: ``app.task`` keeps them in the wrapper alone.
    """
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    if function is None or function.__module__ is None or "dump_kwargs" not in names:
        return None
    if function.__globals__.get("__name__") != base.__name__:
        return None
    kept = dict(inspect.getclosurevars(function).nonlocals)
    for inner in list(kept.values()):  # since 5.7 some are in functions of the wrapper
        if inspect.isfunction(inner) and inner.__module__ == base.__name__:
            kept.update(inspect.getclosurevars(inner).nonlocals)
    return Options(kept["strict"], kept["context"], kept["dump_kwargs"])


class Models:
    """Validates a task's arguments and dumps its result.

    Args:
        app: the Celery app.
        name: the task's name.
        options: see :class:`Options`.
        source: what the arguments are written in: a generator, or ``build_enumerator``.
        signature: of that, with the task as first parameter.
        result: where the type of the result is written; a generator, or the method ``result``.
    """

    def __init__(
        self,
        app: Any,
        name: str,
        options: Options,
        source: Any,
        signature: Signature,
        result: Any,
    ) -> None:
        wrap = partial(base.pydantic_wrapper, app, task_name=name)
        given = {
            "strict": options.strict,
            "context": options.context,
            "dump_kwargs": options.dump_kwargs,
        }
        self._signature = _resolved(signature, _hints(source))
        self._validate = wrap(_taking(self._signature), **given)
        self.dump: Callable[[Any], Any] = wrap(_returning(_result_type(result)), **given)
        """Dump a result, if it is a model of the type that was announced."""

    @property
    def dump_arguments(self) -> Callable[..., Any] | None:
        """What Celery 5.7 dumps models with that a caller passes; ``None`` before."""
        dump = getattr(self._validate, "dump_arguments", None)
        return None if dump is None else partial(dump, bound=True)

    def validate(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Make models of the arguments that are annotated so; the others stay as they are."""
        found: Mapping[str, Any] = self._validate(None, *args, **kwargs)
        parameters = list(self._signature.parameters.values())[1:]
        names = [p.name for p in parameters if p.kind in _POSITIONAL]
        known = {p.name for p in parameters if p.kind is not Parameter.VAR_KEYWORD}
        by_place = tuple(
            found[names[place]] if place < len(names) else value for place, value in enumerate(args)
        )
        by_name = {key: found[key] if key in known else value for key, value in kwargs.items()}
        return by_place, by_name


def _taking(signature: Signature) -> Callable[..., Any]:
    """A function with this signature that returns its arguments by name."""

    def arguments(*args: Any, **kwargs: Any) -> Mapping[str, Any]:
        return signature.bind(*args, **kwargs).arguments

    plain = signature.replace(return_annotation=Signature.empty)
    vars(arguments)["__signature__"] = plain
    arguments.__annotations__ = {}
    return arguments


def _returning(kind: Any) -> Callable[..., Any]:
    def result(value: Any) -> Any:
        return value

    parameter = Parameter("value", Parameter.POSITIONAL_ONLY)
    vars(result)["__signature__"] = Signature([parameter], return_annotation=kind)
    result.__annotations__ = {}
    return result


def _result_type(function: Any) -> Any:
    """Of which type a result has to be to be dumped; any model, where nobody says."""
    from pydantic import BaseModel

    written = _hints(function).get("return", Any)
    if typing.get_origin(written) is Generator:
        types = typing.get_args(written)
        written = types[2] if len(types) == 3 else Any
    elif not inspect.isfunction(function) or inspect.isgeneratorfunction(function):
        written = Any  # an iterator's type says nothing of what it returns
    return BaseModel if written is Any else written


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(inspect.unwrap(function))
    except (NameError, AttributeError, TypeError):  # names that are imported for type checks only
        return {}


def _resolved(signature: Signature, hints: Mapping[str, Any]) -> Signature:
    parameters = signature.parameters.values()
    return signature.replace(
        parameters=[p.replace(annotation=hints.get(p.name, p.annotation)) for p in parameters]
    )

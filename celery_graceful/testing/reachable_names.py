"""What code can get at by name: globals, and the variables of enclosing functions."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

#: Kinds of objects whose content programs change in place.
CONTAINERS = (list, dict, set, deque, bytearray)
#: How deep what a test names is searched for containers.
DEPTH = 3


class Reach:
    """The names that functions use, followed into other functions of the same modules."""

    def __init__(self, functions: Iterable[FunctionType], modules: Iterable[int] = ()) -> None:
        #: Global names, by the identity of their module's dict.
        self.names: dict[int, tuple[dict[str, Any], set[str]]] = {}
        #: Variables of enclosing functions, by the identity of their cell.
        self.cells: dict[int, tuple[CellType, str]] = {}
        pending = list(functions)
        #: The modules that functions are followed in, by the identity of their dict.
        self.modules = {id(function.__globals__) for function in pending} | set(modules)
        walked: set[int] = set()
        while pending:
            function = pending.pop()
            if id(function) not in walked and id(function.__globals__) in self.modules:
                walked.add(id(function))
                pending += [f for value in self._add(function) if (f := function_in(value))]

    def _add(self, function: FunctionType) -> list[Any]:
        scope, used = function.__globals__, set(_names(function.__code__))
        found = self._note(scope, used)
        for module in [value for value in found if isinstance(value, ModuleType)]:
            found += self._note(vars(module), {name for name in used if name in vars(module)})
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):  # noqa: B905 - as many
            self.cells[id(cell)] = (cell, name)
            found += content(cell).values()
        return found

    def _note(self, scope: dict[str, Any], names: set[str]) -> list[Any]:
        self.names.setdefault(id(scope), (scope, set()))[1].update(names)
        return [scope[name] for name in names if name in scope]

    def values(self) -> Iterator[Any]:
        """What the names stand for now."""
        for scope, names in self.names.values():
            yield from [scope[name] for name in names if name in scope]
        for cell, _ in self.cells.values():
            yield from content(cell).values()


class World:
    """What a test's own callables name: it stands for the world outside of the process."""

    def __init__(self, callables: Iterable[Callable[..., Any]], modules: Iterable[int]) -> None:
        parts = [part for thing in callables for part in _parts(thing)]
        reach = Reach([f for part in parts if (f := function_in(part))], modules)
        self._names = {(scope, name) for scope, (_, names) in reach.names.items() for name in names}
        self._cells = set(reach.cells)
        self._objects = set(_identities([*parts, *reach.values()], DEPTH))

    def has(self, thing: Any) -> bool:
        """Whether the test names this object, or an object that holds it."""
        return id(thing) in self._objects

    def has_name(self, scope: dict[str, Any], name: str) -> bool:
        """Whether the test uses this global name."""
        return (id(scope), name) in self._names

    def has_cell(self, cell: CellType) -> bool:
        """Whether the test uses this variable of an enclosing function."""
        return id(cell) in self._cells


def functions_of(task: Any) -> list[FunctionType]:
    """The user's functions that make a task: its generator, the methods of its classes."""
    things = [] if task.body is None else [task.body, inspect.unwrap(task.body)]
    for value in [value for cls in user_classes(task) for value in vars(cls).values()]:
        things += [value, getattr(value, "fget", None), getattr(value, "func", None)]
        if callable(value):
            things.append(inspect.unwrap(value))
    return [function for thing in things if (function := function_in(thing))]


def user_classes(task: Any) -> list[type]:
    """A task's classes that are neither Celery's nor this package's."""
    foreign = ("celery.", "celery_graceful.tasks.", "builtins.")
    classes = type(task).__mro__
    return [cls for cls in classes if not f"{cls.__module__}.".startswith(foreign)]


def function_in(thing: Any) -> FunctionType | None:
    """The plain function in a function, method, static method or class method."""
    inner = getattr(thing, "__func__", thing)
    return inner if isinstance(inner, FunctionType) else None


def content(cell: CellType) -> dict[str, Any]:
    """The content of a cell under a name of no meaning; nothing when it is empty."""
    try:
        return {"": cell.cell_contents}
    except ValueError:
        return {}


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _parts(thing: Any) -> Iterator[Any]:
    if isinstance(thing, partial):
        for part in (thing.func, *thing.args, *thing.keywords.values()):
            yield from _parts(part)
        return
    yield thing
    owner = getattr(thing, "__self__", None)
    if owner is not None:
        yield owner


def _identities(values: Iterable[Any], depth: int) -> Iterator[int]:
    for value in values:
        yield id(value)
        if depth and not isinstance(value, (ModuleType, type, FunctionType, str, bytes)):
            # Attributes of what is named itself only: objects know half the world.
            inner = list(getattr(value, "__dict__", {}).values()) if depth == DEPTH else []
            if isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, (list, tuple, set, frozenset, deque)):
                inner += value
            yield from _identities(inner, depth - 1)

"""What a process forgets when it ends: attributes of the task, globals, enclosing variables.

A test runs all executions of a run in one process. In production each may run in a new one; so
before each execution, what the task keeps in its process is put back to what it was at the
beginning.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from types import CellType
from typing import Any, NamedTuple

from celery_graceful.tasks.iterable import IterableTask
from celery_graceful.testing.reachable_names import (
    CONTAINERS,
    Reach,
    World,
    content,
    functions_of,
    user_classes,
)

#: Celery's and this package's own attributes; looking them up would bind the class to an app.
_NO_STATE = frozenset(dir(IterableTask))

#: Containers within containers are followed this deep.
DEPTH = 8


class _Scope(NamedTuple):
    """Names that belong together, and how they are read and written."""

    label: str
    read: Callable[[], dict[str, Any]]
    put: Callable[[str, Any], None]
    drop: Callable[[str], None]


class _Kept(NamedTuple):
    value: Any
    #: A copy of its content, if it is a container that belongs to the process.
    content: Any


class ProcessState:
    """What a task keeps in its process, as it was when this was made.

    Args:
        world: callables of the test; what they name is the world, which no process forgets.
    """

    def __init__(self, task: Any, world: Iterable[Callable[..., Any]] = ()) -> None:
        reach = Reach(functions_of(task))
        self.modules = reach.modules
        self.world = World(world, reach.modules)
        scopes = [_instance(task), *(_class(cls) for cls in user_classes(task))]
        for scope, names in reach.names.values():
            scopes.append(_module(scope, {n for n in names if not self.world.has_name(scope, n)}))
        for cell, name in reach.cells.values():
            if not self.world.has_cell(cell):
                scopes.append(_cell(cell, name))
        self._scopes = [(scope, self._kept(scope.read())) for scope in scopes]

    def _kept(self, values: dict[str, Any]) -> dict[str, _Kept]:
        return {
            name: _Kept(value, None if self._of_the_world(value) else _copied(value))
            for name, value in values.items()
        }

    def _of_the_world(self, value: Any) -> bool:
        return not isinstance(value, CONTAINERS) or self.world.has(value)

    def forget(self) -> set[str]:
        """Put everything back; returns what had changed, for people."""
        changed = set()
        for scope, kept in self._scopes:
            now = scope.read()
            for name in now.keys() - kept.keys():
                scope.drop(name)
                changed.add(scope.label + name)
            for name, (value, copy) in kept.items():
                if name not in now or now[name] is not value:
                    scope.put(name, value)
                    changed.add(scope.label + name)
                if copy is not None and not _same(value, copy, DEPTH):
                    _refill(value, copy)
                    changed.add(scope.label + name)
        return changed


# -- scopes ----------------------------------------------------------------------------------


def _instance(task: Any) -> _Scope:
    own = vars(task)

    def read() -> dict[str, Any]:
        return {name: value for name, value in own.items() if name not in _NO_STATE}

    return _Scope("self.", read, own.__setitem__, own.__delitem__)


def _class(cls: type) -> _Scope:
    def read() -> dict[str, Any]:
        return {
            name: value
            for name, value in vars(cls).items()
            if name not in _NO_STATE
            and not name.startswith("__")
            and not callable(value)
            and not hasattr(type(value), "__get__")
        }

    def put(name: str, value: Any) -> None:
        setattr(cls, name, value)

    def drop(name: str) -> None:
        delattr(cls, name)

    return _Scope(f"{cls.__name__}.", read, put, drop)


def _module(scope: dict[str, Any], names: set[str]) -> _Scope:
    def read() -> dict[str, Any]:
        return {name: scope[name] for name in names if name in scope}

    return _Scope("the global ", read, scope.__setitem__, scope.__delitem__)


def _cell(cell: CellType, name: str) -> _Scope:
    def put(_: str, value: Any) -> None:
        cell.cell_contents = value

    def drop(_: str) -> None:
        del cell.cell_contents

    return _Scope(f"the enclosing variable {name}", lambda: content(cell), put, drop)


# -- containers ------------------------------------------------------------------------------


def _copied(value: Any, depth: int = DEPTH) -> Any:
    """A copy of a container and of those in it; everything else stays what it is."""
    if not isinstance(value, CONTAINERS) or not depth:
        return value
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, dict):
        return {key: _copied(inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, set):
        return set(value)
    return [_copied(inner, depth - 1) for inner in value]


def _same(value: Any, copy: Any, depth: int) -> bool:
    if not isinstance(value, CONTAINERS) or not depth:
        return value is copy or _equal(value, copy)
    if isinstance(value, dict):
        return value.keys() == copy.keys() and all(
            _same(inner, copy[key], depth - 1) for key, inner in value.items()
        )
    if isinstance(value, (list, deque)):
        return len(value) == len(copy) and all(
            _same(inner, there, depth - 1)
            for inner, there in zip(value, copy)  # noqa: B905
        )
    return bool(value == copy)


def _equal(value: Any, copy: Any) -> bool:
    try:
        return type(value) is type(copy) and bool(value == copy)
    except Exception:
        return False  # such as arrays, which are not simply equal


def _refill(value: Any, copy: Any) -> None:
    value.clear()
    if isinstance(value, (dict, set)):
        value.update(_copied(copy))
    else:
        value.extend(_copied(copy))

"""Connections of psycopg, psycopg2 and sqlite3: whether work in them is open, and where they are.

A driver keeps no list of its connections, so those are found that the task's own code holds. The
walk follows generators, cells, bound methods and context managers, and no other objects.
"""

from __future__ import annotations

import gc
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from inspect import unwrap
from types import (
    BuiltinMethodType,
    CellType,
    CodeType,
    FunctionType,
    GeneratorType,
    MethodType,
)
from typing import Any

#: Objects that are looked at in one walk, at most.
_MOST = 200
#: Statuses of libpq: in a transaction, and in one that has failed.
_IN_TRANSACTION, _IN_ERROR = 2, 3
_WROTE = "SELECT txid_current_if_assigned()"


class Watched:
    """The connections in reach of one task, compared with how its execution found them."""

    def __init__(self, task: Any) -> None:
        self._task = task
        #: Those that were in a transaction before. Referenced, so that none takes another's place.
        self._before: list[Any] = []

    def begin(self) -> None:
        """What is open now belongs to the caller."""
        kinds = _kinds()
        if kinds:
            self._before = [c for c in self._reached(None, kinds) if state(c) is not None]

    def found(self, source: Any) -> str | None:
        """The first that was opened since, in ``source`` or in what the task's code names."""
        kinds = _kinds()
        if not kinds:
            return None
        for connection in self._reached(source, kinds):
            if any(connection is other for other in self._before):
                continue
            how = state(connection)
            if how is not None:
                kind = type(connection)
                return f"a transaction of {kind.__module__}.{kind.__qualname__} ({how})"
        return None

    def _reached(self, source: Any, kinds: tuple[type, ...]) -> list[Any]:
        task = self._task
        roots = [source, *task.__dict__.values()]
        kind: Any = type(task)
        for place in _places(kind, task.body):
            roots += place.cells
            known = place.known
            roots += [known[name] for name in place.names if name in known]
        return _connections(roots, len(kinds))


# -- the state of one connection -------------------------------------------------------------


def state(connection: Any) -> str | None:
    """How a connection holds uncommitted work; ``None`` when it does not, or that is unknown."""
    kind = _kind(connection)
    try:
        return None if kind is None else kind(connection)
    except Exception:  # closed or broken: the server has rolled back, and its user gets an error
        return None


def _sqlite(connection: Any) -> str | None:
    return "in_transaction" if connection.in_transaction else None


def _psycopg(connection: Any) -> str | None:
    def wrote() -> bool:
        answer = connection.pgconn.exec_(_WROTE.encode())
        return answer.ntuples != 1 or answer.get_value(0, 0) is not None

    return _postgres(connection, wrote)


def _psycopg2(connection: Any) -> str | None:
    def wrote() -> bool:
        with connection.cursor(cursor_factory=_loaded("psycopg2.extensions", "cursor")) as cursor:
            cursor.execute(_WROTE)
            return cursor.fetchone()[0] is not None

    return _postgres(connection, wrote)


def _postgres(connection: Any, wrote: Callable[[], bool]) -> str | None:
    info = connection.info
    status = int(info.transaction_status)
    if status == _IN_ERROR:
        return "transaction_status INERROR"
    if status != _IN_TRANSACTION:
        return None
    # Every query begins a transaction, also one that only reads. The server knows better, and is
    # asked if it has that function: an error would abort the user's transaction.
    can_tell = info.server_version >= 100000 and not info.parameter_status("crdb_version")
    return None if can_tell and not wrote() else "transaction_status INTRANS"


_STATES: dict[tuple[str, str], Callable[[Any], str | None]] = {
    ("sqlite3", "Connection"): _sqlite,
    ("psycopg", "Connection"): _psycopg,
    ("psycopg2.extensions", "connection"): _psycopg2,
}
#: What leads to a connection, and by which attribute.
_LEADING = {
    ("sqlite3", "Cursor"): "connection",
    ("psycopg", "Cursor"): "connection",
    ("psycopg", "ServerCursor"): "connection",
    ("psycopg", "Transaction"): "connection",
    ("psycopg2.extensions", "cursor"): "connection",
    ("sqlalchemy.pool", "PoolProxiedConnection"): "driver_connection",
}


def _loaded(module: str, name: str) -> Any:
    return getattr(sys.modules.get(module), name, None)


def _kinds() -> tuple[type, ...]:
    """The classes of connections that this process can have."""
    get = sys.modules.get
    modules = (get("sqlite3"), get("psycopg"), get("psycopg2.extensions"))
    known = _kinds_of.get(modules)
    if known is None:
        known = tuple(cls for cls in (_loaded(*name) for name in _STATES) if cls is not None)
        if len(known) == sum(module is not None for module in modules):  # none is half imported
            _kinds_of[modules] = known
    return known


#: By the drivers' modules.
_kinds_of: dict[tuple[Any, ...], tuple[type, ...]] = {}


def _kind(connection: Any) -> Callable[[Any], str | None] | None:
    for name, how in _STATES.items():
        cls = _loaded(*name)
        if cls is not None and issubclass(type(connection), cls):
            return how
    return None


# -- where they are --------------------------------------------------------------------------


def _connections(roots: Iterable[Any], loaded: int) -> list[Any]:
    """The connections that ``roots`` are, or lead to; ``loaded`` as for :func:`_role`."""
    found: dict[int, Any] = {}
    followed: set[int] = set()
    dull = _dull[loaded]
    pending = [thing for thing in roots if type(thing) not in dull]
    for _ in range(_MOST):
        if not pending:
            break
        thing = pending.pop()
        kind: Any = type(thing)  # not ``isinstance``, which would wake lazy proxies
        role = _role(kind, loaded)
        if role is None:
            if len(dull) < _MOST_DULL:
                dull.add(kind)
            continue
        if role == _IS_ONE:
            found[id(thing)] = thing
        elif role != _IS_FOLLOWED:
            pending.append(getattr(thing, role, None))
        elif id(thing) not in followed:
            followed.add(id(thing))
            pending += _inside(thing)
    return list(found.values())


@contextmanager
def _nothing() -> Iterator[None]:
    yield


_MADE_BY_CONTEXTMANAGER = type(_nothing())
_FOLLOWED = {GeneratorType, CellType, MethodType, BuiltinMethodType, _MADE_BY_CONTEXTMANAGER}


def _inside(thing: Any) -> list[Any]:
    if isinstance(thing, GeneratorType):
        # Local variables, and the blocks and loops that are open. Asked for by ``f_locals``, a
        # frame would hold on to what its code has dropped.
        frame = thing.gi_frame if sys.version_info < (3, 11) else None
        return gc.get_referents(thing if frame is None else frame)
    if isinstance(thing, CellType):
        try:
            return [thing.cell_contents]
        except ValueError:  # empty
            return []
    return [thing.gen if isinstance(thing, _MADE_BY_CONTEXTMANAGER) else thing.__self__]


_IS_ONE, _IS_FOLLOWED = "", "*"
#: By the number of drivers: classes whose objects lead nowhere, which nearly all are.
_dull: defaultdict[int, set[type]] = defaultdict(set)
#: A program that makes classes all the time must not fill the memory.
_MOST_DULL = 1024


@lru_cache(maxsize=1024)
def _role(kind: Any, loaded: int) -> str | None:
    """What objects of a class are to the walk: a connection, followed, the attribute that leads on.

    ``loaded`` is the number of drivers there are: when one is imported, the answer may be another.
    """
    if kind in _FOLLOWED:
        return _IS_FOLLOWED
    if issubclass(kind, _kinds()):
        return _IS_ONE
    for name, attribute in _LEADING.items():
        cls = _loaded(*name)
        if cls is not None and issubclass(kind, cls):
            return attribute
    return None


@dataclass(frozen=True, slots=True)
class Place:
    """What one of a task's functions can reach besides its arguments."""

    cells: tuple[Any, ...]
    known: dict[str, Any]
    names: tuple[str, ...]


@lru_cache(maxsize=1024)
def _places(cls: Any, body: Callable[..., Any] | None) -> tuple[Place, ...]:
    """The places in which the user's functions that make a task find what they use."""
    return tuple(
        Place(
            function.__closure__ or (),
            function.__globals__,
            tuple(dict.fromkeys(_names(function.__code__))),
        )
        for function in _functions(cls, body)
    )


def _names(code: CodeType) -> list[str]:
    """The global names, and attributes, that code uses."""
    inner = [name for c in code.co_consts if isinstance(c, CodeType) for name in _names(c)]
    return [*code.co_names, *inner]


def _functions(cls: type, body: Callable[..., Any] | None) -> tuple[FunctionType, ...]:
    """The user's functions that make a task."""
    things: list[Any] = [] if body is None else [body, unwrap(body)]
    for base in cls.__mro__:
        if not f"{base.__module__}.".startswith(("celery.", "celery_graceful.tasks.", "builtins.")):
            things += vars(base).values()
    plain = [getattr(thing, "__func__", thing) for thing in things]
    return tuple(dict.fromkeys(thing for thing in plain if isinstance(thing, FunctionType)))

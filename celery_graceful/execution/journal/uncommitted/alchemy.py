"""Open transactions of SQLAlchemy, Core and ORM, through its events.

Counted is what was written: a transaction that only reads is begun by every query, and loses
nothing. A session's objects that wait to be flushed count as written.
"""

from __future__ import annotations

import re
import sys
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from celery_graceful.atomic import is_committed_for_items
from celery_graceful.execution.loop.current import current_execution

_SPACE = r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*"
_WRITES = re.compile(
    rf"{_SPACE}(?:insert|update|delete|merge|replace|truncate|copy|call|create|alter|drop)\b"
    rf"|{_SPACE}with\b.*\b(?:insert\s+into|update|delete\s+from|merge\s+into)\b",
    re.IGNORECASE | re.DOTALL,
)
#: Characters of a statement that an error shows.
_SHOWN = 80


@dataclass(slots=True)
class Level:
    """A transaction, or a savepoint in it."""

    name: str = ""
    #: The first statement that has written something.
    written: str = ""
    #: The item during which that was, counted from 1 within the execution's loop.
    item: int = 0


#: Modules that are listened to already.
_listening: set[str] = set()


class Watched:
    """The transactions that one execution has begun."""

    def __init__(self) -> None:
        #: For each connection the transaction and its savepoints.
        self.levels: MutableMapping[Any, list[Level]] = WeakKeyDictionary()
        #: What was rolled back last, and the item during which that was.
        self.undone = (Level(), 0)
        #: Sessions that began a transaction.
        self.sessions: WeakSet[Any] = WeakSet()
        #: Connections on which the plugin commits items' work and checkpoint together.
        self.own: WeakSet[Any] = WeakSet()
        #: SQLAlchemy was imported later: no transaction can be older than the execution.
        self.knows_all = False

    def begin(self) -> None:
        """Listen from now on."""
        self.knows_all = "sqlalchemy.engine" not in sys.modules
        _listen()

    def found(self) -> str | None:
        """The first that was begun since and is neither committed nor rolled back."""
        _listen()  # the task itself may have been the first to import it
        if not (self.levels or self.sessions):
            return None
        for connection, levels in list(self.levels.items()):
            first = _first(levels)
            if first.written and not connection.closed and connection.in_transaction():
                url = connection.engine.url.render_as_string()
                return f"a transaction of SQLAlchemy on {url}, in which it wrote {first.written!r},"
        for session in list(self.sessions):
            waiting = _waiting(session)
            if waiting:
                return f"a session of SQLAlchemy ({session!r:.100}) with {waiting}"
        return None

    def lost(self, number: int) -> str | None:
        """What earlier items wrote, if the error of item ``number`` undoes or has undone it."""
        last, during = self.undone
        held = [_first(levels) for c, levels in self.levels.items() if c.in_transaction()]
        for first in [*held, *([last] if during == number else [])]:
            if first.written and first.item < number:
                return f"a transaction of SQLAlchemy, in which it wrote {first.written!r},"
        return None


def _first(levels: list[Level]) -> Level:
    return next((level for level in levels if level.written), Level())


def _waiting(session: Any) -> str:
    """The session's changes that are not flushed, let alone committed."""
    if not session.in_transaction():
        return ""
    new, deleted = len(session.new), len(session.deleted)
    changed = sum(1 for thing in session.dirty if session.is_modified(thing))
    if not (new or deleted or changed):
        return ""
    return f"changes that are not flushed: {new} new, {changed} changed, {deleted} deleted"


# -- SQLAlchemy's events ---------------------------------------------------------------------


def _listen() -> None:
    if "sqlalchemy.engine" in sys.modules and "engine" not in _listening:
        _listening.add("engine")
        from sqlalchemy import Engine, event

        for name, listener in {
            "begin": _begun,
            "begin_twophase": _begun,
            "before_cursor_execute": _executes,
            "savepoint": _savepoint,
            "release_savepoint": _released,
            "rollback_savepoint": _rolled_back,
            "commit": _committed,
            "rollback": _rolled_back_all,
            "commit_twophase": _committed,
            "rollback_twophase": _rolled_back_all,
        }.items():
            event.listen(Engine, name, listener)
    if "sqlalchemy.orm" in sys.modules and "orm" not in _listening:
        _listening.add("orm")
        from sqlalchemy import event
        from sqlalchemy.orm import Session

        event.listen(Session, "after_transaction_create", _session_began)
        event.listen(Session, "after_begin", _session_connected)


def _watched() -> Watched | None:
    execution = current_execution.get()
    return None if execution is None else execution.open_work.alchemy


def _begun(connection: Any, *_: Any) -> None:
    watched = _watched()
    if watched is not None and not _commits_by_itself(connection):
        watched.levels[connection] = [Level()]


def _executes(
    connection: Any, _cursor: Any, statement: str, _values: Any, context: Any, _: Any
) -> None:
    watched = _watched()
    if watched is None:
        return
    levels = watched.levels.get(connection)
    if levels is None:
        if not watched.knows_all or connection in watched.own or _commits_by_itself(connection):
            return
        levels = watched.levels[connection] = [Level()]
    if levels and not levels[-1].written:
        compiled = context is not None and (
            context.isinsert or context.isupdate or context.isdelete
        )
        if compiled or _WRITES.match(statement):
            levels[-1].written, levels[-1].item = statement[:_SHOWN], _item()


def _savepoint(connection: Any, name: str) -> None:
    watched = _watched()
    if watched is not None and connection not in watched.own:
        watched.levels.setdefault(connection, []).append(Level(name))


def _released(connection: Any, name: str, _context: Any) -> None:
    left = _left(connection, name)
    levels = _levels(connection)
    if levels and left.written and not levels[-1].written:
        levels[-1].written, levels[-1].item = left.written, left.item


def _rolled_back(connection: Any, name: str, _context: Any) -> None:
    _undone(_left(connection, name))


def _left(connection: Any, name: str) -> Level:
    """Forget a savepoint and those within it; returns what was written there first."""
    levels = _levels(connection)
    place = next((i for i, level in enumerate(levels) if level.name == name), None)
    if place is None:
        return Level()
    first = _first(levels[place:])
    del levels[place:]
    return first


def _levels(connection: Any) -> list[Level]:
    watched = _watched()
    return [] if watched is None else watched.levels.get(connection, [])


def _committed(connection: Any, *_: Any) -> None:
    watched = _watched()
    if watched is not None:
        watched.levels.pop(connection, None)


def _rolled_back_all(connection: Any, *_: Any) -> None:
    _undone(_first(_levels(connection)))
    _committed(connection)


def _undone(first: Level) -> None:
    watched = _watched()
    if watched is not None and first.written:
        watched.undone = (first, _item())


def _item() -> int:
    execution = current_execution.get()
    return 0 if execution is None or execution.stand is None else execution.stand.begun


def _session_began(session: Any, _transaction: Any) -> None:
    watched = _watched()
    if watched is not None and not is_committed_for_items(session):
        watched.sessions.add(session)


def _session_connected(session: Any, _transaction: Any, connection: Any) -> None:
    watched = _watched()
    if watched is not None and is_committed_for_items(session):
        watched.own.add(connection)
        watched.levels.pop(connection, None)


def _commits_by_itself(connection: Any) -> bool:
    level = connection.get_execution_options().get("isolation_level")
    if level is None:
        level = getattr(connection.dialect, "_on_connect_isolation_level", None)
    return bool(level == "AUTOCOMMIT")

"""The maintenance mode: what is held, by whom, why, and until when.

One frozen value for all workers of a namespace. The store gives it its version, and the time; what
a ``down`` and an ``up`` make of it is decided here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from enum import Enum

from celery_graceful.errors import ScopeNotDown

#: Entries of the log that are kept.
LOG_LENGTH = 50


class Kind(str, Enum):
    """What a scope names."""

    ALL = "all"
    QUEUE = "queue"
    TASK = "task"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """What a hold holds: everything, one queue, or the tasks of a name or pattern."""

    kind: Kind
    name: str = ""

    def __str__(self) -> str:
        return "everything" if self.kind is Kind.ALL else f"{self.kind} {self.name}"


EVERYTHING = Scope(Kind.ALL)


@dataclass(frozen=True, slots=True)
class Hold:
    """One scope that is held. Times are the store's own, in Unix seconds."""

    scope: Scope
    reason: str
    who: str
    since: float
    #: When it ends by itself; ``None``: never.
    until: float | None = None
    #: Whether running iterable tasks stop at their next checkpoint.
    interrupt: bool = True

    def __str__(self) -> str:
        parts = [f"by {self.who}"]
        if self.reason:
            parts.append(self.reason)
        if self.until is not None:
            until = datetime.fromtimestamp(self.until, timezone.utc)
            parts.append(f"until {until:%Y-%m-%d %H:%M:%S} UTC")
        return f"{self.scope} ({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class Ramp:
    """A slow start after an ``up``."""

    since: float
    #: How long it lasts.
    seconds: float

    @property
    def until(self) -> float:
        """When all slots are in use again."""
        return self.since + self.seconds


@dataclass(frozen=True, slots=True)
class LogEntry:
    """Who did what, and when."""

    at: float
    who: str
    #: ``down``, ``up``, ``ended`` (by itself), or ``written back``.
    verb: str
    scopes: tuple[Scope, ...]
    reason: str = ""
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Mode:
    """What is held now, and what was done before."""

    holds: tuple[Hold, ...] = ()
    ramp: Ramp | None = None
    log: tuple[LogEntry, ...] = ()
    #: Whether messages of tasks held by name may still be parked.
    parked: bool = False
    #: Raised at every change; 0 until it is first changed.
    version: int = 0
    #: The version it had before it vanished and a worker wrote it back; else 0.
    was: int = 0

    def __str__(self) -> str:
        return "; ".join(map(str, self.holds)) or "nothing"

    @property
    def origin(self) -> int:
        """The version at which somebody changed it, even if it was written back since."""
        return self.was or self.version

    @property
    def down(self) -> bool:
        """Whether anything is held."""
        return bool(self.holds)

    def hold_of(self, scope: Scope) -> Hold | None:
        """The hold on exactly this scope."""
        return next((hold for hold in self.holds if hold.scope == scope), None)

    def next_end(self) -> float | None:
        """When the first of the holds ends by itself."""
        return min((h.until for h in self.holds if h.until is not None), default=None)


def first_version(now: float) -> int:
    """The version of a mode where there is none: above all that a vanished one can have had.

    Counted from 1, a ``down`` over an emptied store would look older than what workers know, and
    they would ignore it. There is never more than one change a millisecond.
    """
    return int(now * 1000)


def written_back(mode: Mode, now: float, who: str) -> Mode:
    """A mode that vanished from the store, as the worker ``who`` writes it back.

    Its version has still to be set: see :func:`version_back`.
    """
    entry = LogEntry(now, who, "written back", (), "it had vanished from the store")
    return replace(mode, was=mode.origin, log=_logged(mode.log, entry))


def version_back(mode: Mode, found: int, now: float) -> int:
    """The version of ``mode`` when it is written back over version ``found``."""
    return max(mode.version + 1, found + 1, first_version(now))


def is_older(found: Mode, known: Mode) -> bool:
    """Whether the mode in the store is from before the one that a worker knows.

    It vanished (version 0), or an older state came back, or a worker that did not know the last
    change was the first to write back what it knew.
    """
    if found.version < known.version:
        return True
    return 0 < found.was < known.origin


def without_ended(mode: Mode, now: float) -> Mode:
    """The mode without what has ended by itself until ``now``, which goes to the log."""
    ended = [h for h in mode.holds if h.until is not None and h.until <= now]
    if not ended:
        return mode
    entries = [LogEntry(h.until or now, h.who, "ended", (h.scope,), h.reason) for h in ended]
    left = tuple(h for h in mode.holds if h not in ended)
    return replace(mode, holds=left, log=_logged(mode.log, *entries))


def hold_scopes(
    mode: Mode,
    scopes: Collection[Scope],
    *,
    now: float,
    who: str,
    reason: str = "",
    until: float | None = None,
    interrupt: bool = True,
) -> Mode:
    """The mode after a ``down``; a scope that is held already gets the new terms.

    The ramp of an earlier ``up`` continues for what is not held.
    """
    mode = without_ended(mode, now)
    holds = {hold.scope: hold for hold in mode.holds}
    for scope in scopes:
        before = holds.get(scope)
        since = now if before is None else before.since
        holds[scope] = Hold(scope, reason, who, since, until, interrupt)
    return replace(
        mode,
        holds=tuple(sorted(holds.values(), key=lambda hold: hold.scope)),
        ramp=None if EVERYTHING in scopes else mode.ramp,
        log=_logged(mode.log, LogEntry(now, who, "down", tuple(scopes), reason, until)),
        parked=mode.parked or any(scope.kind is Kind.TASK for scope in scopes),
    )


def release_scopes(
    mode: Mode, scopes: Collection[Scope], *, now: float, who: str, ramp: float = 0.0
) -> Mode:
    """The mode after an ``up`` of ``scopes``; of all that is held when there are none.

    When nothing is held, an ``up`` without a ramp ends the ramp of an earlier one.

    Args:
        ramp: seconds over which work resumes; 0: at once.

    Raises:
        ScopeNotDown: one of the scopes is not held by its own name.
    """
    mode = without_ended(mode, now)
    for scope in scopes:
        if mode.hold_of(scope) is None:
            raise ScopeNotDown(_not_down(scope, mode))
    released = {hold.scope for hold in mode.holds} if not scopes else set(scopes)
    ramping = mode.ramp is not None and now < mode.ramp.until
    if not released and (ramp > 0 or not ramping):
        return mode
    return replace(
        mode,
        holds=tuple(hold for hold in mode.holds if hold.scope not in released),
        ramp=Ramp(now, ramp) if ramp > 0 else None,
        log=_logged(mode.log, LogEntry(now, who, "up", tuple(sorted(released)))),
    )


def _not_down(scope: Scope, mode: Mode) -> str:
    if not mode.holds:
        return f"{scope} is not held; nothing is"
    hint = "; release that with `up`" if mode.hold_of(EVERYTHING) else ""
    return f"{scope} is not held by its own name; held: {mode}{hint}"


def _logged(log: tuple[LogEntry, ...], *entries: LogEntry) -> tuple[LogEntry, ...]:
    return (*log, *entries)[-LOG_LENGTH:]

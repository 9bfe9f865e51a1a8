"""Runs by tabs: live, paused, failed and ended ones, each from an index; and how many there are.

A store may offer more than :class:`~celery_graceful.stores.base.Store` asks for, by the two methods
of :class:`TabStore`. For one that does not, the listings that every store has are read through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, Protocol, cast

from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.stores.base import Listed, Place, Store

#: Records that one call looks at, at most, whether it answers them or not: it must not hold up
#: others, nor a page that a person waits for.
LOOKS: Final = 2500
#: What a store without an index reads to count or to find.
_MOST_READ: Final = 1000
_AT_ONCE: Final = 250
#: No run has this key; loading it gives the store's time.
_NOBODY: Final = RunKey("", "")


class Tab(str, Enum):
    """Which runs. The live ones are listed by when they began, and so are the paused among them;
    the ended ones by until when they are kept, the last first, and so are the failed among them.
    """

    LIVE = "live"
    PAUSED = "paused"
    FAILED = "failed"
    ENDED = "ended"

    def holds(self, record: Record) -> bool:
        """Whether a run of this record belongs here."""
        if self is Tab.LIVE:
            return record.live
        if self is Tab.PAUSED:
            return record.state is State.PAUSED
        return not record.live and (self is Tab.ENDED or record.outcome is Outcome.FAILED)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many runs there are."""

    #: Those that have not ended and are not paused.
    active: int
    paused: int
    failed: int
    #: All that have ended: completed, failed and cancelled ones.
    ended: int
    #: The names of the fields above that say "at least so many", as counting stopped there.
    at_least: tuple[str, ...] = ()


class Only(NamedTuple):
    """What a caller is looking for: records that do not fit it may be left out.

    A store need not look at all of it, or at any: whoever calls tests what it gets once more.
    """

    #: The task's name.
    task: str = ""
    states: frozenset[State] = frozenset()
    outcome: Outcome | None = None
    #: The owner, or the owner up to a slash.
    worker: str = ""
    #: A part of what :func:`~celery_graceful.stores.codec.extra_of` writes.
    extra: str = ""
    #: A part of ``task[id] owner``, whatever its case.
    text: str = ""
    #: Begun since then, in Unix seconds.
    since: float = 0.0
    #: With a message.
    enveloped: bool = False


#: Every run.
ANY: Final = Only()


class Part(NamedTuple):
    """A part of a listing."""

    rows: list[Listed]
    #: Where it continues: behind the last record that was looked at. ``None``: this is the end.
    next: Place | None
    #: The store's time, in Unix seconds, of the first look.
    now: float


class TabStore(Protocol):
    """What a store may do beside what it has to."""

    def counts(self) -> Counts:
        """How many runs there are, in one call and at the cost of an index."""

    def browse(self, tab: Tab, limit: int, after: Place | None = None, only: Only = ANY) -> Part:
        """Up to ``limit`` runs of a tab that fit ``only``, in its order.

        Args:
            tab: which runs.
            limit: how many at most; 250 at most are answered.
            after: ``next`` of the part before, or the place of a run. The run that was there may
                be anywhere by now.
            only: what need not be answered.

        Returns:
            Fewer than ``limit`` or none at all, and yet ``next``, where :data:`LOOKS` records were
            looked at.
        """


def time_of(store: Store) -> float:
    """The store's time, in Unix seconds."""
    return store.load(_NOBODY).now


def counts_of(store: Store) -> Counts:
    """How many runs a store has; up to 1,000 live and 1,000 ended ones if it cannot count."""
    own = _with_tabs(store)
    if own is not None:
        return own.counts()
    live, ended = store.live(_MOST_READ + 1), store.ended(_MOST_READ + 1)
    paused = sum(Tab.PAUSED.holds(row.record) for row in live[:_MOST_READ])
    failed = sum(Tab.FAILED.holds(row.record) for row in ended[:_MOST_READ])
    capped: tuple[str, ...] = ("active", "paused") if len(live) > _MOST_READ else ()
    capped += ("failed", "ended") if len(ended) > _MOST_READ else ()
    active = min(len(live), _MOST_READ) - paused
    return Counts(active, paused, failed, min(len(ended), _MOST_READ), capped)


def browse(
    store: Store, tab: Tab, limit: int, after: Place | None = None, only: Only = ANY
) -> Part:
    """As :meth:`TabStore.browse`, of any store."""
    limit = min(limit, _AT_ONCE)
    own = _with_tabs(store)
    if own is not None:
        return own.browse(tab, limit, after, only)
    now = time_of(store)
    read = store.live if tab in (Tab.LIVE, Tab.PAUSED) else store.ended
    return read_through(read, tab, limit, after, now)


def _with_tabs(store: Store) -> TabStore | None:
    offers = callable(getattr(store, "browse", None)) and callable(getattr(store, "counts", None))
    return cast(TabStore, store) if offers else None


def read_through(
    read: Callable[[int, Place | None], list[Listed]],
    tab: Tab,
    limit: int,
    after: Place | None,
    now: float,
) -> Part:
    """A part of a tab, out of the listing that it is a part of."""
    rows: list[Listed] = []
    size = limit if tab in (Tab.LIVE, Tab.ENDED) else _AT_ONCE
    for _ in range(_MOST_READ // _AT_ONCE):
        page = read(size, after)
        for row in page:
            after = row.place
            rows += [row] if tab.holds(row.record) else []
            if len(rows) == limit:
                return Part(rows, after, now)
        if len(page) < size:
            return Part(rows, None, now)
    return Part(rows, after, now)

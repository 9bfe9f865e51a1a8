"""What a store does: the protocol that every store keeps, and what its calls return."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, runtime_checkable

from celery_graceful.model.run.record import Record, Request, RunKey

#: Kinds of texts; names of one kind have nothing to do with those of another. Notices are replaced
#: by compare-and-set and kept for ever: the maintenance mode is one. Reports are written by one
#: worker each, every few seconds, and expire.
NOTICES: Final = "notices"
REPORTS: Final = "reports"


@dataclass(frozen=True, slots=True)
class Found:
    """What a look-up saw: the record, if any, and the store's time in seconds."""

    record: Record | None
    now: float


def next_version(expected: int, record: Record) -> int:
    """The version that :meth:`Store.swap` gives to a record."""
    return expected + 1 if expected else max(1, record.version)


class Swapped(NamedTuple):
    """The answer to a compare-and-set.

    When ``done``, ``version`` is the record's new version. Else nothing was written and ``record``
    is what stands there instead (``None``: nothing does).
    """

    done: bool
    now: float
    version: int = 0
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Flushed:
    """The answer to a checkpoint: whether it was accepted, the new version, and what is asked."""

    accepted: bool
    version: int = 0
    requested: Request | None = None
    #: Refused since there is no record at all: the owner writes it back.
    gone: bool = False


class Listed(NamedTuple):
    """A run in a listing."""

    key: RunKey
    record: Record
    #: Its place, with its key: when it began or, if it has ended, until when it is kept.
    at: float

    @property
    def place(self) -> Place:
        """What a listing continues after."""
        return self.at, self.key


#: Where a listing continues: behind the run of this key, which stands at this time.
Place = tuple[float, RunKey]


class Durability(NamedTuple):
    """Whether a store keeps its data; a store may answer it by ``durability()``."""

    #: Redis's ``maxmemory-policy``; empty: not known.
    eviction: str = ""
    #: Whether data survive a restart; ``None``: not known.
    persistent: bool | None = None


class Text(NamedTuple):
    """A named text. Version 0 and an empty text: there is none."""

    name: str
    text: str
    version: int
    #: When it was written, and the store's present time, in Unix seconds.
    written_at: float
    now: float

    @property
    def age(self) -> float:
        """Seconds since it was written, by the store's clock."""
        return max(0.0, self.now - self.written_at)


@runtime_checkable
class Store(Protocol):
    """What workers share: the records of runs, quarantined items, and named texts.

    ``load``, ``swap`` (compare-and-set), ``checkpoint`` (a patch under a fence) and ``renew`` (a
    touch) concern single runs; ``due``, ``live``, ``ended`` and ``named`` list them.

    There may be a million records. A call reads and writes a few hundred of them at a time, so that
    none holds up the server, and finds them by an index.

    Every time is the store's own, so that the clocks of workers do not matter. Every call may
    raise :exc:`~celery_graceful.errors.StoreUnavailable` (try again later) or
    :exc:`~celery_graceful.errors.CorruptRecord` (a person has to look). A store is safe to share
    between threads, and notices by itself that its process was forked.
    """

    #: Whether workers on other hosts see the same records.
    shared_between_hosts: bool
    #: Whether other processes of this host see the same records.
    shared_between_processes: bool

    def load(self, run: RunKey) -> Found:
        """The record of ``run`` and the store's time."""

    def swap(
        self,
        run: RunKey,
        expected: int,
        record: Record,
        *,
        due_in: float | None = None,
        keep: float | None = None,
    ) -> Swapped:
        """Replace the record if its version is ``expected`` (0: if there is none).

        ``record.due_at`` and ``record.ended_at`` are ignored. The store sets the version to
        ``expected + 1``; a record that begins has the version it comes with (at least 1), so that
        none is like that of a record that vanished. It sets ``due_at`` to its own time plus
        ``due_in`` seconds (``None``: never due). With ``keep``, for runs that have ended, the
        record is never due, is forgotten that many seconds from now, and is read with
        ``ended_at``, the store's time of this write; ``record.kept_for`` is ``keep`` then.
        """

    def checkpoint(
        self, run: RunKey, fence: int, checkpoint: str, steps: int, *, due_in: float
    ) -> Flushed:
        """Save a checkpoint if the run is ``running`` under exactly this fence.

        The fence stands even when the lease has ended meanwhile, as long as nobody was
        admitted since. An accepted checkpoint renews the lease (``due_at`` becomes now +
        ``due_in``) and raises the version. Without a record the answer is ``gone``.
        """

    def renew(self, owner: str, runs: Collection[RunKey], *, due_in: float) -> None:
        """Renew the leases ``owner`` holds among ``runs``: ``due_at`` becomes now + ``due_in``.

        Runs that are not ``running`` or ``finishing``, or that another owns, are left alone.
        Raises the version of each renewed record, so that a rescuer that read it before loses.
        """

    def due(self, limit: int) -> list[tuple[RunKey, Record]]:
        """Up to ``limit`` runs whose ``due_at`` has passed, the longest overdue first."""

    def live(self, limit: int, after: Place | None = None) -> list[Listed]:
        """Up to ``limit`` runs that have not ended, by ``started_at``: the oldest first.

        Args:
            limit: How many; fewer are answered only at the end.
            after: The place of the last one of the page before, which may have ended since.
        """

    def ended(self, limit: int, after: Place | None = None) -> list[Listed]:
        """Up to ``limit`` runs that have ended: the one that is kept longest first.

        Args:
            limit: How many; fewer are answered only at the end.
            after: The place of the last one of the page before, which may be forgotten since.
        """

    def named(self, prefix: str, limit: int) -> list[RunKey]:
        """Up to ``limit`` runs whose id begins with ``prefix``, by id: live and ended ones.

        Found by an index, so that a short prefix among a million runs costs no more than ``limit``.
        """

    def quarantine(self, run: RunKey, fence: int, ordinal: int, entry: str, *, keep: float) -> bool:
        """Keep a quarantined item, if the run is ``running`` under exactly this fence.

        A run may have a million of them, so no call below may hold up the server by their number,
        nor may their expiry.

        ``ordinal`` (below 2**53) names it within the run; an entry of the same name is replaced.
        It is kept for ``keep`` seconds from now, and shortens the life of no other. Returns whether
        it was kept.
        """

    def quarantined(self, run: RunKey, first: int, limit: int) -> list[tuple[int, str]]:
        """Up to ``limit`` entries of the run, by their ordinals, from ``first`` on."""

    def count_quarantined(self, run: RunKey, first: int, limit: int) -> int:
        """How many entries of the run there are from ``first`` on, counted up to ``limit``."""

    def drop_quarantined(self, run: RunKey, ordinals: Collection[int]) -> None:
        """Forget these entries of the run; those that are not there do not matter."""

    def drop_quarantined_range(
        self, run: RunKey, first: int, last: int | None = None, *, fence: int | None = None
    ) -> None:
        """Forget the entries from ``first`` up to and including ``last`` (``None``: to the end).

        With ``fence``, nothing is forgotten unless the run is ``running`` under exactly that.
        May take long, step by step.
        """

    def expire_quarantined(self, run: RunKey, *, keep: float) -> None:
        """Keep all entries of the run for ``keep`` seconds from now."""

    def read_text(self, kind: str, name: str) -> Text:
        """The text of this name."""

    def write_text(
        self,
        kind: str,
        name: str,
        text: str,
        *,
        expected: int | None = None,
        version: int | None = None,
        keep: float | None = None,
    ) -> Text | None:
        """Write a text; others see it before this returns.

        Args:
            kind: :data:`NOTICES`, :data:`REPORTS`, or another short name.
            name: What names it among those of its kind.
            text: What to write.
            expected: Replace nothing but this version (0: write it only if there is none);
                ``None``: whatever is there.
            version: The version that it gets, above ``expected``; ``None``: one more than
                ``expected``.
            keep: Seconds after which it is forgotten, unless it is written again; ``None``: never.

        Returns:
            The text as it is now; ``None``: it has another version, and nothing was written.
        """

    def delete_text(self, kind: str, name: str) -> None:
        """Forget the text of this name, if there is one."""

    def texts(self, kind: str) -> list[Text]:
        """All texts of a kind, by name. One that cannot be read is logged and left out."""

    def check(self) -> None:
        """Reach the store once; raises when it cannot be used (wrong address, rights, version)."""

    def close(self) -> None:
        """Give back connections; the store may be used again afterwards."""

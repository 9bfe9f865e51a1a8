"""A thread that tells the store of its worker, and learns of the maintenance mode."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from celery_graceful._celery.threads.native import (
    Bell,
    StillChanging,
    native_lock,
    start_native_thread,
)
from celery_graceful.errors import CorruptRecord, NewerRecord, StoreError
from celery_graceful.maintenance.mode_changes import NOTICE
from celery_graceful.maintenance.workers import (
    MISSED_REPORTS,
    Report,
    encode_report,
    is_replaced,
    known_workers,
)
from celery_graceful.model.maintenance.mode import (
    EVERYTHING,
    Hold,
    Mode,
    is_older,
    version_back,
    without_ended,
    written_back,
)
from celery_graceful.model.maintenance.mode_text import decode_mode, encode_mode
from celery_graceful.model.run.outage import Outage
from celery_graceful.stores.base import NOTICES, REPORTS, Store

logger = logging.getLogger("celery_graceful.maintenance")

#: Reports are kept so long that a lost worker is seen by its age, in seconds.
KEEP = 86400.0
#: Seconds between two reports while something that is held still runs.
SOON = 0.25
#: How long the thread may take to end its last round, in seconds.
LAST_ROUND = 1.0
_STAYS = "This worker's report stays in the store until it expires: %s"
#: Seconds until the next try while the store does not answer.
RETRY = 1.0


class KnownMode(NamedTuple):
    """What a worker knows of the mode."""

    #: Without what has ended by itself; version -1: it could not be read yet.
    mode: Mode
    #: The store did not answer for a whole lease, and the worker pauses for that.
    cut_off: bool = False
    #: No run can start, since the store cannot be used.
    runs_wait: bool = True


class ModeWatch:
    """Writes reports and reads the mode, in a native thread of its own.

    Args:
        name: names the worker, differently at each start.
        open_store: makes a store for the thread.
        report: describes the worker now; called in the thread.
        on_change: called when what is known has changed, in whatever thread learns of it.
        poll: seconds between two looks.
        lease: seconds without an answer of the store after which others may count the worker as
            gone.
        follows: whether the worker does what the mode says.
        pauses: whether the worker pauses then, and until it has read the mode for the first time.
    """

    def __init__(
        self,
        name: str,
        open_store: Callable[[], Store],
        report: Callable[[], Report],
        on_change: Callable[[], None],
        *,
        poll: float,
        lease: float,
        follows: bool = True,
        pauses: bool = False,
    ) -> None:
        self._name = name
        # Two: under gevent a connection belongs to the thread that opened it. Opened here: there,
        # two threads that import the same module block each other.
        self._store, self._own_store = open_store(), open_store()
        self._report = report
        self._on_change = on_change
        self._poll = poll
        self._lease = lease
        self._pauses = follows and pauses
        self._bell, self._ended, self._first = Bell(), Bell(), Bell()
        #: Two threads may learn of two modes at once; the older one must not win.
        self._lock = native_lock()
        self._stopping = False
        self._away = False
        self._outage = Outage()
        #: The version that could not be read, and that the log was told of.
        self._unreadable: int | None = None
        #: As read; what has ended by itself is still in it.
        self._mode = Mode(version=-1)
        #: The last mode that could be read.
        self._last_good = self._mode
        #: The store's clock minus the monotonic one.
        self._ahead = time.time() - time.monotonic()
        self._reached_at = time.monotonic()
        #: When the last look began that was answered.
        self._looked_at = float("-inf")
        self.known = KnownMode(self._mode)
        #: During a ramp: this worker's place among those that take part, and how many these are.
        self.rank, self.workers = 0, 1
        #: Whether something that is held still runs: then reports come often.
        self.hurry = False

    # -- any thread -------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The store's time, in Unix seconds."""
        return time.monotonic() + self._ahead

    def ring(self) -> None:
        """Report at once."""
        self._bell.ring()

    def learn(self, mode: Mode) -> None:
        """A broadcast has brought a mode; an old one changes nothing."""
        with self._lock:
            if mode.version > self._mode.version:
                self._mode = self._last_good = mode
        self._update()

    @property
    def is_known(self) -> bool:
        """Whether a mode is known: read from the store, or told by others."""
        return self._mode.version >= 0

    @property
    def answers(self) -> bool:
        """Whether the store could be used at the last look."""
        return not self._away

    def refused(self) -> None:
        """An execution could not use the store: no run starts for a while."""
        with self._lock:
            self._outage = self._outage.refused(time.monotonic())
        self._update()
        self._bell.ring()

    def look(self) -> bool:
        """Report and read the mode here and now; whether the store answered."""
        return self._look(self._store)

    def look_since(self, moment: float) -> None:
        """The same, unless that was done after ``moment`` (monotonic).

        A store that does not answer would hold up each caller: the thread goes on trying.
        """
        if not self._away and self._looked_at < moment:
            self.look()

    def _look(self, store: Store) -> bool:
        try:
            self._attend(store)
        except StillChanging:
            return False  # a report that says "nothing runs" would be believed
        except Exception as exc:  # whatever it is, plain tasks go on
            self._trouble(exc)
            return False
        return True

    # -- the thread -------------------------------------------------------------------------

    def start(self, patience: float = 0.0) -> None:
        """Begin; returns after the first look, or when ``patience`` (seconds) is at its end."""
        start_native_thread(self._run)
        self._first.wait(patience)

    def stop(self) -> None:
        """The worker ends: its report is taken back, if the store answers soon."""
        self._stopping = True
        self._bell.ring()
        if not self._ended.wait(LAST_ROUND):
            logger.warning(_STAYS, "the store does not answer")

    def _run(self) -> None:
        while not self._stopping:
            began = time.monotonic()
            answered = self._look(self._own_store)
            self._first.ring()
            spent = time.monotonic() - began
            self._bell.wait(self._pause(answered) - spent)
        # Here: under gevent a connection belongs to the thread that opened it.
        self._leave()
        self._ended.ring()

    def _leave(self) -> None:
        try:
            self._own_store.delete_text(REPORTS, self._name)
        except Exception as exc:
            logger.warning(_STAYS, exc)

    def _pause(self, answered: bool) -> float:
        pause = SOON if self.hurry else self._poll
        if not answered:
            pause = min(pause, RETRY)
        end = self._mode.next_end()
        if end is not None and end > self.now:
            pause = min(pause, end - self.now)
        left = self._outage.until - time.monotonic()
        return min(pause, left) if left > 0 else pause

    def _attend(self, store: Store) -> None:
        before, began = self._mode.version, time.monotonic()
        # In this order: who changes the mode and then reads the reports either finds this worker
        # among them, or the worker has read the new mode.
        store.write_text(REPORTS, self._name, encode_report(self._report()), keep=KEEP)
        notice = store.read_text(NOTICES, NOTICE)
        answered = time.monotonic()
        self._ahead, self._reached_at, self._looked_at = notice.now - answered, answered, began
        with self._lock:
            self._outage = self._outage.answered()
        if self._away:
            self._away = False
            logger.warning("The store answers again")
        if notice.version != before:
            mode = self._read(notice.text, notice.version)
            known = self._last_good
            if self._unreadable is None and known.version > 0 and is_older(mode, known):
                mode = self._written_back(store, mode, notice.now)
            # A broadcast may have been quicker.
            with self._lock:
                if self._mode.version == before:
                    self._mode = mode
            if self._unreadable is None:
                self._last_good = self._mode
        ramp = self._mode.ramp
        if ramp is not None and self.now < ramp.until:
            self._find_place(store)
        self._update()

    def _read(self, text: str, version: int) -> Mode:
        """The mode in the store; the last that could be read, if that one cannot.

        Its version is the one that it had: a ``down`` that this worker cannot read is not
        acknowledged.
        """
        try:
            mode = decode_mode(text, version)
        except CorruptRecord as exc:
            last = self._mode
            holds = self._pauses and (last.version < 0 or isinstance(exc, NewerRecord))
            if self._unreadable != version:
                self._unreadable = version
                what = "Everything is held" if holds else _stays_in_force(last)
                logger.error("%s: %s", what, exc)
            return _hold_everything(str(exc), version) if holds else last
        self._unreadable = None
        return mode

    def _written_back(self, store: Store, found: Mode, now: float) -> Mode:
        """Write back the mode that vanished from the store; returns the one that is in force."""
        known = self._last_good
        version = version_back(known, found.version, now)
        text = encode_mode(written_back(known, now, self._name))
        posted = store.write_text(NOTICES, NOTICE, text, expected=found.version, version=version)
        if posted is None:  # another worker was quicker: what it wrote is read in the next round
            self._bell.ring()
            return self._mode
        logger.warning(
            "The maintenance mode had vanished from the store, or had gone back from version %d to"
            " %d (FLUSHALL, an eviction, a restart without persistence, a deleted key or row). The"
            " last known mode stays in force and is written back as version %d: %s",
            known.version,
            found.version,
            version,
            "; ".join(str(hold.scope) for hold in known.holds) + " down"
            if known.holds
            else "nothing is down",
        )
        return decode_mode(text, version)

    def _find_place(self, store: Store) -> None:
        there, beat = known_workers(store), MISSED_REPORTS * self._poll
        names = sorted(
            member.worker
            for member in there
            if member.age < self._lease
            and member.report is not None
            and not member.report.forced
            and not is_replaced(member, there, (), heartbeat=beat)  # a killed one takes no share
        )
        if self._name in names:
            self.rank, self.workers = names.index(self._name), len(names)

    def _trouble(self, exc: Exception) -> None:
        with self._lock:
            self._outage = self._outage.failed()
        if not self._away:
            self._away = True
            logger.error(
                "The store cannot be used. Iterable tasks wait until it answers. %s: %s",
                "Nothing is consumed until the maintenance mode could be read"
                if self._pauses and not self.is_known
                else f"Plain tasks continue. {_stays_in_force(self._mode)}",
                exc if isinstance(exc, StoreError) else repr(exc),
                exc_info=None if isinstance(exc, StoreError) else exc,
            )
        self._update()

    def _update(self) -> None:
        now = time.monotonic()
        cut_off = self._pauses and now - self._reached_at >= self._lease
        with self._lock:
            known = KnownMode(without_ended(self._mode, self.now), cut_off, self._outage.waits(now))
            changed, self.known = known != self.known, known
        if changed:
            self._on_change()


def _stays_in_force(mode: Mode) -> str:
    if mode.version < 0:
        return "No maintenance mode is known"
    down = ", ".join(str(hold.scope) for hold in mode.holds)
    return f"The maintenance mode last known stays in force ({down or 'nothing'} is down)"


def _hold_everything(why: str, version: int) -> Mode:
    """Somebody wanted something: until it is known what, nothing starts."""
    hold = Hold(EVERYTHING, why, "nobody knows who", 0.0, interrupt=False)
    return replace(Mode(version=version), holds=(hold,))

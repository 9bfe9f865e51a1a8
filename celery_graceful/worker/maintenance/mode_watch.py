"""A thread that reports its worker to the store, and reads the maintenance mode."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from celery_graceful._celery.threads.django_databases import close_stale_connections
from celery_graceful._celery.threads.native import Bell, StillChanging, start_native_thread
from celery_graceful.errors import StoreError
from celery_graceful.maintenance.mode_changes import NOTICE
from celery_graceful.maintenance.workers import (
    MISSED_REPORTS,
    Report,
    encode_report,
    is_replaced,
    known_workers,
)
from celery_graceful.model.maintenance.mode import Mode, without_ended
from celery_graceful.model.outage import Outage
from celery_graceful.stores.base import NOTICES, REPORTS, Store
from celery_graceful.worker.maintenance.known_mode import KnownMode, ModeMemory

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


class ModeWatch:
    """Reports to the store and reads the mode, in a native thread of its own.

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
        self._memory = ModeMemory(name, pauses=self._pauses)
        self._bell, self._ended, self._first = Bell(), Bell(), Bell()
        self._stopping = False
        self._unavailable = False
        self._outage = Outage()
        #: The store's clock minus the monotonic one.
        self._ahead = time.time() - time.monotonic()
        self._reached_at = time.monotonic()
        #: When the last look began that was answered.
        self._looked_at = float("-inf")
        self.known = KnownMode(self._memory.mode)
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
        self._memory.learn(mode)
        self._update()

    @property
    def is_known(self) -> bool:
        """Whether a mode is known: read from the store, or received from others."""
        return self._memory.mode.version >= 0

    @property
    def answers(self) -> bool:
        """Whether the store could be used at the last look."""
        return not self._unavailable

    def refused(self) -> None:
        """An execution could not use the store: no run starts for a while."""
        with self._memory.lock:
            self._outage = self._outage.refused(time.monotonic())
        self._update()
        self._bell.ring()

    def look(self) -> bool:
        """Report and read the mode here and now; whether the store answered."""
        return self._look(self._store)

    def look_since(self, moment: float) -> None:
        """The same, unless that was done after ``moment`` (monotonic).

        A store that does not answer would hold up each caller: the thread keeps trying.
        """
        if not self._unavailable and self._looked_at < moment:
            self.look()

    # -- the thread -------------------------------------------------------------------------

    def start(self, patience: float = 0.0) -> None:
        """Begin; returns after the first look, or after ``patience`` seconds."""
        start_native_thread(self._run)
        self._first.wait(patience)

    def stop(self) -> None:
        """The worker ends: its report is removed, if the store answers soon."""
        self._stopping = True
        self._bell.ring()
        if not self._ended.wait(LAST_ROUND):
            logger.warning(_STAYS, "the store does not answer")

    def _run(self) -> None:
        while not self._stopping:
            began = time.monotonic()
            answered = self._look(self._own_store)
            self._first.ring()
            close_stale_connections()  # of receivers of signals
            spent = time.monotonic() - began
            self._bell.wait(self._pause(answered) - spent)
        try:
            # Here: under gevent a connection belongs to the thread that opened it.
            self._own_store.delete_text(REPORTS, self._name)
        except Exception as exc:
            logger.warning(_STAYS, exc)
        self._ended.ring()

    def _pause(self, answered: bool) -> float:
        pause = SOON if self.hurry else self._poll
        if not answered:
            pause = min(pause, RETRY)
        end = self._memory.mode.next_end()
        if end is not None and end > self.now:
            pause = min(pause, end - self.now)
        left = self._outage.until - time.monotonic()
        return min(pause, left) if left > 0 else pause

    # -- one look ---------------------------------------------------------------------------

    def _look(self, store: Store) -> bool:
        try:
            self._attend(store)
        except StillChanging:
            return False  # a report that says "nothing runs" would be believed
        except Exception as exc:  # whatever it is, plain tasks continue
            self._failed(exc)
            return False
        return True

    def _attend(self, store: Store) -> None:
        before, began = self._memory.mode.version, time.monotonic()
        # In this order: who changes the mode and then reads the reports either finds this worker
        # among them, or the worker has read the new mode.
        store.write_text(REPORTS, self._name, encode_report(self._report()), keep=KEEP)
        notice = store.read_text(NOTICES, NOTICE)
        answered = time.monotonic()
        self._ahead = notice.now - answered
        # Since it began: others count from when the report was written, however late the answer.
        self._reached_at = self._looked_at = began
        with self._memory.lock:
            self._outage = self._outage.answered()
        if self._unavailable:
            self._unavailable = False
            logger.warning("The store answers again")
        if notice.version != before and self._memory.take(notice, before, store):
            self._bell.ring()
        ramp = self._memory.mode.ramp
        if ramp is not None and self.now < ramp.until:
            self._find_place(store)
        self._update()

    def _find_place(self, store: Store) -> None:
        known, heartbeat = known_workers(store), MISSED_REPORTS * self._poll
        names = sorted(
            worker.worker
            for worker in known
            if worker.age < self._lease
            and worker.report is not None
            and not worker.report.forced
            and not is_replaced(worker, known, (), heartbeat=heartbeat)
        )
        if self._name in names:
            self.rank, self.workers = names.index(self._name), len(names)

    def _failed(self, exc: Exception) -> None:
        with self._memory.lock:
            self._outage = self._outage.failed()
        if not self._unavailable:
            self._unavailable = True
            logger.error(
                "The store cannot be used. Iterable tasks wait until it answers. %s: %s",
                "Nothing is consumed until the maintenance mode could be read"
                if self._pauses and not self.is_known
                else f"Plain tasks continue. {self._memory}",
                exc if isinstance(exc, StoreError) else repr(exc),
                exc_info=None if isinstance(exc, StoreError) else exc,
            )
        self._update()

    def _update(self) -> None:
        now = time.monotonic()
        cut_off = self._pauses and now - self._reached_at >= self._lease
        with self._memory.lock:
            mode = without_ended(self._memory.mode, self.now)
            known = KnownMode(mode, cut_off, self._outage.waits(now))
            changed, self.known = known != self.known, known
        if changed:
            self._on_change()

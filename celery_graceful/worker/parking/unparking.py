"""Moving messages out of a worker, and sending parked ones back: by one worker at a time."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from kombu.exceptions import OperationalError

from celery_graceful._celery.consumer import unstarted
from celery_graceful._celery.message.envelope import Envelope
from celery_graceful._celery.message.parking_queue import Lot
from celery_graceful._celery.threads.native import native_lock, native_sleep, start_native_thread
from celery_graceful.errors import PublishUncertain, StoreError, StoreUnavailable
from celery_graceful.runtime import Runtime
from celery_graceful.stores.base import NOTICES, Store, Text
from celery_graceful.text import strict_json
from celery_graceful.text.counting import counted

logger = logging.getLogger("celery_graceful.maintenance")

#: Seconds between two tries.
RETRY = 2.0
#: Seconds for which a claim lasts, at most: a lease, so that a claim of a dead worker does not
#: outlast the leases of its runs. Renewed meanwhile, and one that is much longer is none.
LONGEST_CLAIM = 60.0


def move(send: Callable[[list[Any]], list[Any]], requests: list[Any]) -> list[Any]:
    """Send messages elsewhere, then acknowledge those that were sent, and return them."""
    sent = send(requests) if requests else []
    for request in sent:
        request.acknowledge()
        unstarted.forget(request)
    return sent


def without(requests: list[Any], some: list[Any]) -> list[Any]:
    """``requests`` without ``some`` of them, compared by identity."""
    done = {id(request) for request in some}
    return [request for request in requests if id(request) not in done]


class Unparker:
    """Empties a parking queue, in a thread of its own.

    Args:
        worker: names the worker.
        queue: the parking queue.
        held: whether messages of a task still have to wait.
        claim: the notice that names the worker that does this, and until when.
        before: called with the store and each message that is about to be sent back.
        done: called afterwards with the store and how many messages stay.
        while_: whether this worker may go on; then it checks again until nothing comes any more:
            another worker may park again what was sent back.
    """

    def __init__(
        self,
        runtime: Runtime,
        worker: str,
        queue: Lot,
        held: Callable[[str], bool],
        *,
        claim: str,
        before: Callable[[Store, Envelope], None] = lambda store, message: None,
        done: Callable[[Store, int], None] = lambda store, kept: None,
        while_: Callable[[], bool] = lambda: False,
    ) -> None:
        self._runtime = runtime
        self._worker = worker
        self._queue = queue
        self._held = held
        self._claim_name = claim
        self._claim_seconds = min(LONGEST_CLAIM, runtime.settings.lease_ttl)
        self._claimed_at = 0.0
        self._before = before
        self._done = done
        self._while = while_
        self.busy = native_lock()
        self._lock = native_lock()
        self._threads = 0
        self._again = False
        self._logged: type[Exception] | None = None

    @property
    def at_work(self) -> bool:
        """Whether messages that may go back are still there, as far as this worker knows."""
        return self._threads > 0

    def soon(self) -> None:
        """Send back what no longer has to wait. Any thread."""
        self._again = True
        self._start(self._empty)

    def if_any(self) -> None:
        """The same, if a first look finds messages. Any thread."""
        self._start(self._look)

    def _start(self, work: Callable[[], None]) -> None:
        def count_and_work() -> None:
            try:
                work()
            finally:
                self._count_threads(-1)

        self._count_threads(1)
        start_native_thread(count_and_work)

    def _count_threads(self, more: int) -> None:
        with self._lock:
            self._threads += more

    def _look(self) -> None:
        while (found := self._count()) is None:
            native_sleep(RETRY)
        if found:
            self._again = True
            self._empty()

    def _count(self) -> int | None:
        try:
            return self._queue.waiting()
        except OperationalError as exc:
            self._log_once(exc)
            return None

    def _empty(self) -> None:
        # Requested once more while the thread was about to end: checked afterwards.
        while self._again and self.busy.acquire(False):
            try:
                self._empty_all()
            finally:
                self.busy.release()

    def _empty_all(self) -> None:
        try:
            store = self._runtime.open_store()
            try:
                while self._again:
                    self._again = False
                    if self._empty_once(store) and self._while():
                        native_sleep(RETRY)
                        self._again = True
            finally:
                store.close()
        except Exception:
            logger.exception(
                "Parked messages could not be sent back; the next worker that starts tries again"
            )

    def _empty_once(self, store: Store) -> int:
        """How many messages were sent back."""
        while True:
            try:
                if self._claim(store):
                    moved, kept = self._queue.empty(self._held, partial(self._about_to, store))
                    self._post_claim(store, store.read_text(NOTICES, self._claim_name), 0)
                    if moved:
                        logger.warning(
                            "Sent back %s from %s; %s",
                            counted(moved, "message"),
                            self._queue.name,
                            f"{kept or 'none'} still held",
                        )
                    self._done(store, kept)
                    return moved
            except (StoreError, OperationalError, PublishUncertain) as exc:
                self._log_once(exc)
            native_sleep(RETRY)

    def _about_to(self, store: Store, message: Envelope) -> None:
        if time.monotonic() > self._claimed_at + self._claim_seconds / 2:
            self._claim(store)
        try:
            self._before(store, message)
        except StoreUnavailable:
            raise
        except Exception as exc:  # of a damaged record, or whatever a stranger wrote
            logger.error("A parked message goes back as it is: %.400r", exc)

    def _log_once(self, exc: Exception) -> None:
        if self._logged is not type(exc):
            self._logged = type(exc)
            logger.error("Parked messages wait in %s, trying again: %s", self._queue.name, exc)

    def _claim(self, store: Store) -> bool:
        """Two workers at once would mix up the order, and handle again what stays."""
        claim = store.read_text(NOTICES, self._claim_name)
        owner, until = read_claim(claim, self._claim_name)
        if owner != self._worker and until > claim.now:
            return False
        self._claimed_at = time.monotonic()
        return self._post_claim(store, claim, claim.now + self._claim_seconds)

    def _post_claim(self, store: Store, claim: Text, until: float) -> bool:
        text = json.dumps([self._worker, until])
        return store.write_text(NOTICES, self._claim_name, text, expected=claim.version) is not None


def read_claim(claim: Text, name: str) -> tuple[str, float]:
    """Which worker empties the parking queue, and until when; none, where that is unreadable."""
    if not claim.text:
        return "", 0.0
    try:
        owner, until = strict_json.loads(claim.text)
        longest = claim.now + 2 * LONGEST_CLAIM
        return strict_json.text(owner, "who"), strict_json.number(until, "until", 0.0, longest)
    except (ValueError, TypeError) as exc:
        logger.warning("The notice %s is replaced, since it cannot be read: %s", name, exc)
        return "", 0.0

"""Parked messages go back to their queues: in a thread, by one worker at a time."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

from kombu.exceptions import OperationalError

from celery_graceful._celery.message.parking_queue import Lot
from celery_graceful._celery.threads.native import native_lock, native_sleep, start_native_thread
from celery_graceful.errors import PublishUncertain, StoreError
from celery_graceful.runtime import Runtime
from celery_graceful.stores.base import Store
from celery_graceful.stores.board import Notice
from celery_graceful.text import strict_json
from celery_graceful.text.counting import counted

logger = logging.getLogger("celery_graceful.maintenance")

#: How long a claim lasts, and seconds between two tries.
CLAIM_SECONDS, RETRY = 60.0, 2.0


class SendingBack:
    """Empties a parking queue when it is told to.

    Args:
        runtime: of the app.
        worker: names the worker.
        lot: the parking queue.
        held: whether messages of a task still have to wait.
        claim: the notice that says which worker does this, and until when nobody else does.
        done: called afterwards with the store and how many messages stay.
        while_: whether this worker may go on; then it looks again until nothing comes any more:
            another worker may park again what was sent back.
    """

    def __init__(
        self,
        runtime: Runtime,
        worker: str,
        lot: Lot,
        held: Callable[[str], bool],
        *,
        claim: str,
        done: Callable[[Store, int], None] = lambda store, kept: None,
        while_: Callable[[], bool] = lambda: False,
    ) -> None:
        self._runtime = runtime
        self._worker = worker
        self._lot = lot
        self._held = held
        self._claim_name = claim
        self._done = done
        self._while = while_
        self.busy = native_lock()
        self._again = False
        self._logged: type[Exception] | None = None

    def soon(self) -> None:
        """Send back what no longer has to wait. Any thread."""
        self._again = True
        start_native_thread(self._empty)

    def if_any(self) -> None:
        """The same, if a first look finds messages. Any thread."""
        start_native_thread(self._look)

    # -- a thread of its own ----------------------------------------------------------------

    def _look(self) -> None:
        while (found := self._count()) is None:
            native_sleep(RETRY)
        if found:
            self._again = True
            self._empty()

    def _count(self) -> int | None:
        try:
            return self._lot.waiting()
        except OperationalError as exc:
            self._tell(exc)
            return None

    def _empty(self) -> None:
        # Asked for once more while whoever was at it was about to leave: looked at afterwards.
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
                    moved, kept = self._lot.empty(self._held)
                    self._release(store)
                    if moved:
                        logger.warning(
                            "Sent back %s from %s; %s",
                            counted(moved, "message"),
                            self._lot.name,
                            f"{kept or 'none'} still held",
                        )
                    self._done(store, kept)
                    return moved
            except (StoreError, OperationalError, PublishUncertain) as exc:
                self._tell(exc)
            native_sleep(RETRY)

    def _tell(self, exc: Exception) -> None:
        if self._logged is not type(exc):
            self._logged = type(exc)
            logger.error("Parked messages wait in %s, trying again: %s", self._lot.name, exc)

    def _claim(self, store: Store) -> bool:
        """Two workers at once would mix up the order, and go round what stays."""
        claim = store.read_notice(self._claim_name)
        owner, until = _claimed(claim, self._claim_name)
        if owner != self._worker and until > claim.now:
            return False
        text = json.dumps([self._worker, claim.now + CLAIM_SECONDS])
        return store.post_notice(self._claim_name, claim.version, text) is not None

    def _release(self, store: Store) -> None:
        claim = store.read_notice(self._claim_name)
        store.post_notice(self._claim_name, claim.version, json.dumps([self._worker, 0]))


def _claimed(claim: Notice, name: str) -> tuple[str, float]:
    """Who empties the parking queue, and until when; nobody, where that cannot be read."""
    if not claim.text:
        return "", 0.0
    try:
        owner, until = strict_json.loads(claim.text)
        longest = claim.now + 2 * CLAIM_SECONDS
        return strict_json.text(owner, "who"), strict_json.number(until, "until", 0.0, longest)
    except (ValueError, TypeError) as exc:
        logger.warning("The notice %s is replaced, since it cannot be read: %s", name, exc)
        return "", 0.0

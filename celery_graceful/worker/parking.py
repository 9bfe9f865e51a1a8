"""Messages of tasks that are held by name: parked meanwhile, and sent back afterwards."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kombu.exceptions import OperationalError

from celery_graceful import strict_json
from celery_graceful._celery import unstarted
from celery_graceful._celery.parking import Lot
from celery_graceful._celery.threads import native_lock, native_sleep, start_native_thread
from celery_graceful._celery.wire import sent_home
from celery_graceful.counting import counted
from celery_graceful.errors import CorruptRecord, PublishUncertain, StoreError
from celery_graceful.maintenance.control import NOTICE
from celery_graceful.model.mode import Kind, Mode
from celery_graceful.model.mode_text import decode_mode, encode_mode
from celery_graceful.runtime import Runtime
from celery_graceful.stores.base import Store
from celery_graceful.stores.board import Notice

__all__ = ["Parking"]

logger = logging.getLogger("celery_graceful.maintenance")

#: The notice that says who empties the parking queue, and until when nobody else does.
CLAIM = "maintenance-parking"
#: How long a claim lasts, and seconds between two tries.
CLAIM_SECONDS, RETRY = 60.0, 2.0


class Parking:
    """What one worker does with messages of tasks that are held by name.

    Args:
        runtime: of the app.
        worker: names the worker.
        held: whether a task is held by name, by what is known now.
    """

    def __init__(self, runtime: Runtime, worker: str, held: Callable[[str], bool]) -> None:
        settings = runtime.settings
        self._runtime = runtime
        self._worker = worker
        self._held = held
        self._lot = Lot(
            runtime.app, runtime.namespace, runtime.broker, timeout=settings.hand_over_timeout
        )
        self._emptying = native_lock()
        self._holds: frozenset[str] = frozenset()
        self._first = True
        self._again = False
        #: Messages parked by this worker since it last looked whether they can go back.
        self.count = 0

    def park(self, requests: list[Any]) -> list[Any]:
        """Put aside what is held; returns what could not be. Where tasks are consumed.

        What is held by name is parked. A run that has come ahead of others, and whose own queue is
        held, goes there.
        """
        strays = [r for r in requests if sent_home(r.message.headers) and not self._held(r.type)]
        gone = self._leave_to(self._lot.send_home, strays)
        if gone:
            logger.info("Sent %s to a queue that is held (%s first)", *_some(gone, "run"))
        parked = self._leave_to(self._lot.put, [r for r in requests if r not in strays])
        self.count += len(parked)
        if parked:
            logger.info(
                "Parked %s held by name (%s first) in %s", *_some(parked, "task"), self._lot.name
            )
        if any(not self._held(request.type) for request in parked):
            self._empty_soon()  # lifted while they were on their way
        done = {id(request) for request in (*gone, *parked)}
        return [request for request in requests if id(request) not in done]

    def _leave_to(self, send: Callable[[list[Any]], list[Any]], requests: list[Any]) -> list[Any]:
        sent = send(requests) if requests else []
        for request in sent:
            request.acknowledge()
            unstarted.forget(request)
        return sent

    def close(self) -> None:
        """Nothing is held by name any more. Where tasks are consumed."""
        self._lot.close()

    def mode_changed(self, mode: Mode) -> None:
        """Send back what is held no longer; any thread."""
        if mode.version < 0:
            return
        holds = frozenset(h.scope.name for h in mode.holds if h.scope.kind is Kind.TASK)
        lifted = self._holds - holds
        # Whoever held them may have been away when they were lifted, and this worker just begun.
        due = bool(lifted) or (self._first and mode.parked)
        self._holds, self._first = holds, False
        if due:
            self._empty_soon()

    def _empty_soon(self) -> None:
        self._again = True
        start_native_thread(self._empty)

    # -- a thread of its own ----------------------------------------------------------------

    def _empty(self) -> None:
        # Asked for once more while whoever was at it was about to leave: looked at afterwards.
        while self._again and self._emptying.acquire(False):
            try:
                self._empty_all()
            finally:
                self._emptying.release()

    def _empty_all(self) -> None:
        try:
            store = self._runtime.open_store()
            try:
                while self._again:
                    self._again = False
                    self._empty_once(store)
            finally:
                store.close()
        except Exception:
            logger.exception(
                "Parked messages could not be sent back; the next worker that starts tries again"
            )

    def _empty_once(self, store: Store) -> None:
        while True:
            try:
                if self._claim(store):
                    moved, kept = self._lot.empty(self._held)
                    self.count = 0
                    self._release(store)
                    if moved:
                        logger.warning(
                            "Sent back %s from %s; %s",
                            counted(moved, "message"),
                            self._lot.name,
                            counted(kept, "stays", "stay"),
                        )
                    if not kept:
                        self._note_empty(store)
                    return
            except (StoreError, OperationalError, PublishUncertain) as exc:
                logger.error("Parked messages wait in %s, trying again: %s", self._lot.name, exc)
            native_sleep(RETRY)

    def _claim(self, store: Store) -> bool:
        """Two workers at once would mix up the order, and go round what stays."""
        claim = store.read_notice(CLAIM)
        owner, until = _claimed(claim)
        if owner != self._worker and until > claim.now:
            return False
        text = json.dumps([self._worker, claim.now + CLAIM_SECONDS])
        return store.post_notice(CLAIM, claim.version, text) is not None

    def _release(self, store: Store) -> None:
        claim = store.read_notice(CLAIM)
        store.post_notice(CLAIM, claim.version, json.dumps([self._worker, 0]))

    def _note_empty(self, store: Store) -> None:
        """Workers that start from now on need not look; who has not yet heard of the lift, and
        parks more, sends it back on hearing."""
        notice = store.read_notice(NOTICE)
        try:
            mode = decode_mode(notice.text, notice.version)
        except CorruptRecord:
            return  # told by whoever reads it to follow it; what replaces it asks for a look
        if mode.parked and not any(h.scope.kind is Kind.TASK for h in mode.holds):
            store.post_notice(NOTICE, notice.version, encode_mode(replace(mode, parked=False)))


def _some(requests: list[Any], noun: str) -> tuple[str, str]:
    """How many there are, and the name of the first."""
    return counted(len(requests), noun), requests[0].name


def _claimed(claim: Notice) -> tuple[str, float]:
    """Who empties the parking queue, and until when; nobody, where that cannot be read."""
    if not claim.text:
        return "", 0.0
    try:
        owner, until = strict_json.loads(claim.text)
        longest = claim.now + 2 * CLAIM_SECONDS
        return strict_json.text(owner, "who"), strict_json.number(until, "until", 0.0, longest)
    except (ValueError, TypeError) as exc:
        logger.warning("The notice %s is replaced, since it cannot be read: %s", CLAIM, exc)
        return "", 0.0

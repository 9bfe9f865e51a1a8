"""Messages of tasks that are held by name: parked meanwhile, and sent back afterwards."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from celery_graceful._celery.consumer import unstarted
from celery_graceful._celery.message.parking_queue import Lot
from celery_graceful._celery.message.wire import sent_home
from celery_graceful.errors import CorruptRecord
from celery_graceful.maintenance.mode_changes import NOTICE
from celery_graceful.model.maintenance.mode import Kind, Mode
from celery_graceful.model.maintenance.mode_text import decode_mode, encode_mode
from celery_graceful.runtime import Runtime
from celery_graceful.stores.base import Store
from celery_graceful.text.counting import counted
from celery_graceful.worker.parking.sending_back import SendingBack

logger = logging.getLogger("celery_graceful.maintenance")

#: The notice that says who empties the parking queue, and until when nobody else does.
CLAIM = "maintenance-parking"


class Parking:
    """What one worker does with messages of tasks that are held by name.

    Args:
        runtime: of the app.
        worker: names the worker.
        held: whether a task is held by name, by what is known now.
    """

    def __init__(self, runtime: Runtime, worker: str, held: Callable[[str], bool]) -> None:
        settings = runtime.settings
        self._held = held
        self._lot = Lot(
            runtime.app,
            f"{runtime.namespace}.graceful.parked",
            runtime.broker,
            timeout=settings.release_timeout,
        )
        self.sending_back = SendingBack(
            runtime, worker, self._lot, held, claim=CLAIM, done=self._sent_back
        )
        self._holds: frozenset[str] = frozenset()
        self._first = True
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
            self.sending_back.soon()  # lifted while they were on their way
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
            self.sending_back.soon()

    def _sent_back(self, store: Store, kept: int) -> None:
        self.count = 0
        if not kept:
            self._note_empty(store)

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

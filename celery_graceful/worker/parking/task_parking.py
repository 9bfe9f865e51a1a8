"""Messages of tasks that are held by name: parked meanwhile, and sent back afterwards."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from celery_graceful._celery.message.headers import sent_home
from celery_graceful._celery.message.parking_queue import Lot, unknown_queue
from celery_graceful.errors import CorruptRecord
from celery_graceful.maintenance.mode_changes import NOTICE
from celery_graceful.model.maintenance.mode import Kind, Mode
from celery_graceful.model.maintenance.mode_text import decode_mode, encode_mode
from celery_graceful.runtime import Runtime
from celery_graceful.stores.base import NOTICES, Store
from celery_graceful.text.counting import counted
from celery_graceful.worker.parking.unparking import Unparker, move, without

logger = logging.getLogger("celery_graceful.maintenance")

#: The notice that names the worker that empties the parking queue, and until when.
CLAIM = "maintenance-parking"


class TaskParking:
    """Parks messages of tasks that are held by name.

    Args:
        worker: names the worker.
        held: whether a task is held by name, by what is known now.
        queue_of: which queue a message came from, if that is known.
    """

    def __init__(
        self,
        runtime: Runtime,
        worker: str,
        held: Callable[[str], bool],
        queue_of: Callable[[Any], str | None] = unknown_queue,
    ) -> None:
        self._held = held
        self._queue = Lot(
            runtime.app,
            f"{runtime.namespace}.graceful.parked",
            runtime.broker,
            timeout=runtime.settings.release_timeout,
            queue_of=queue_of,
        )
        self.unparker = Unparker(
            runtime, worker, self._queue, held, claim=CLAIM, done=self._sent_back
        )
        self._holds: frozenset[str] = frozenset()
        self._first = True
        #: Messages parked by this worker since it last checked whether they can go back.
        self.count = 0

    def park(self, requests: list[Any]) -> list[Any]:
        """Park what is held; returns what could not be. In the thread that consumes.

        A run that has come ahead of others, and whose own queue is held, goes to that queue.
        """
        ahead = [r for r in requests if sent_home(r.message.headers) and not self._held(r.type)]
        returned = move(self._queue.send_home, ahead)
        if returned:
            count, first = counted(len(returned), "run"), returned[0].name
            logger.info("Sent %s to a queue that is held (%s first)", count, first)
        parked = move(self._queue.put, without(requests, ahead))
        self.count += len(parked)
        if parked:
            count, first = counted(len(parked), "task"), parked[0].name
            logger.info("Parked %s held by name (%s first) in %s", count, first, self._queue.name)
        if any(not self._held(request.type) for request in parked):
            self.unparker.soon()  # released while they were on their way
        return without(requests, [*returned, *parked])

    def close(self) -> None:
        """Nothing is held by name any more. In the thread that consumes."""
        self._queue.close()

    def mode_changed(self, mode: Mode) -> None:
        """Send back what is no longer held; any thread."""
        if mode.version < 0:
            return
        holds = frozenset(h.scope.name for h in mode.holds if h.scope.kind is Kind.TASK)
        released = self._holds - holds
        # At its start: the worker that parked them may have been away when they were released.
        due = bool(released) or (self._first and mode.parked)
        self._holds, self._first = holds, False
        if due:
            self.unparker.soon()

    def _sent_back(self, store: Store, kept: int) -> None:
        self.count = 0
        if not kept:
            self._note_empty(store)

    def _note_empty(self, store: Store) -> None:
        """Workers that start from now on need not check; one that has not yet learnt of the
        release, and parks more, sends it back when it learns of it."""
        notice = store.read_text(NOTICES, NOTICE)
        try:
            mode = decode_mode(notice.text, notice.version)
        except CorruptRecord:
            return  # logged by the watch; what replaces it asks for a check
        if mode.parked and not any(h.scope.kind is Kind.TASK for h in mode.holds):
            store.write_text(
                NOTICES, NOTICE, encode_mode(replace(mode, parked=False)), expected=notice.version
            )

"""The gate: every request passes it before it may start, and waits there if it may not."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from celery_graceful._celery.consumer import unstarted
from celery_graceful._celery.consumer.paused_queues import Intake
from celery_graceful._celery.consumer.request import RunRequest
from celery_graceful._celery.consumer.run_hooks import hooks_of
from celery_graceful._celery.message.headers import sent_home
from celery_graceful._celery.pool.kind import pool_kind
from celery_graceful._celery.threads.native import StillChanging, snapshot
from celery_graceful._celery.worker_parts import consumer_of
from celery_graceful.model.maintenance.held import NOTHING, Held
from celery_graceful.stop.hold import Binding, bindings, queue_of, queue_of_delivery

logger = logging.getLogger("celery_graceful.maintenance")

#: Seconds until what could not be done is tried again.
RETRY = 1.0
#: On solo, a task that took longer may have hidden a broadcast, in seconds.
LONG = 0.25


class Gate:
    """Keeps what is held from starting, returns it to the broker, and closes its queues.

    ``set`` works from any thread and at once; :meth:`enforce` does the rest in the thread that
    consumes. While nothing is held a request costs one call and one test.

    Args:
        worker: a worker that has its pool, and has no consumer yet.
        park: takes requests that are held out of queues that are not; returns those that it could
            not take.
        refresh: reads the mode here and now, unless that was done since a moment (monotonic); for
            solo, whose loop stands still during a task.
        settled: called after :meth:`enforce`.
        exempt: queues whose tasks a ramp does not slow down.
        faulty: iterable tasks that cannot start on this worker; their messages are parked.
    """

    def __init__(
        self,
        worker: Any,
        park: Callable[[list[Any]], list[Any]],
        refresh: Callable[[float], object],
        settled: Callable[[], None],
        exempt: frozenset[str] = frozenset(),
        faulty: frozenset[str] = frozenset(),
    ) -> None:
        self._worker = worker
        self._park = park
        self._refresh = refresh
        self._settled = settled
        self._exempt = exempt
        self._faulty = faulty
        #: Whether no iterable task may start here, since the store cannot be used.
        self.runs_wait = False
        self.held: Held = NOTHING
        #: How many may run at once during a ramp; ``None``: as many as there are slots.
        self.allowed: int | None = None
        #: The number of the last setting that :meth:`enforce` has carried out.
        self.number = self.enforced = 0
        self.waiting: deque[Any] = deque()
        self.intake: Intake | None = None
        self._open = not faulty
        #: On solo, when a long task has ended and the mode was not read since.
        self._stale: float | None = None
        self._bindings: list[Binding] = []
        self._solo = pool_kind(worker).main_thread
        self._scheduled = threading.Event()
        self._start = unstarted.intercept(worker, self._admit_solo if self._solo else self._admit)

    # -- any thread -------------------------------------------------------------------------

    def set(self, held: Held, allowed: int | None = None, *, runs_wait: bool = False) -> None:
        """From now on hold this; what is not held and waits here starts at :meth:`enforce`."""
        self.held, self.allowed, self.runs_wait = held, allowed, runs_wait
        self._open = not (held or runs_wait or self._faulty) and allowed is None
        self.number += 1
        self.call_soon()

    def call_soon(self) -> None:
        """Have :meth:`enforce` called in the thread that consumes."""
        consumer = consumer_of(self._worker)
        if consumer is None or self.intake is None or self._scheduled.is_set():
            return
        self._scheduled.set()
        consumer.call_soon(self._enforce_scheduled)

    def begun(self) -> list[Any]:
        """The requests that run, or can no longer be kept from it."""
        return unstarted.begun(self._worker, snapshot(self.waiting))

    def postpone(self, request: Any) -> None:
        """A run was not admitted: its message is parked, and not returned to the broker."""
        unstarted.not_begun_after_all(request)
        self.waiting.append(request)
        self.call_soon()

    def cannot_start(self, request: Any) -> bool:
        """Whether a request is of a run that cannot start here, whatever maintenance holds."""
        return isinstance(request, RunRequest) and (
            self.runs_wait or request.postponed or request.type in self._faulty
        )

    def queue_of(self, request: Any) -> str:
        """The queue a request came from."""
        by_tag = self.intake.queue_by_tag(request.message) if self.intake else None
        if by_tag is not None:
            return by_tag
        info = request.message.delivery_info or {}
        return queue_of(self._bindings, info.get("exchange") or "", info.get("routing_key") or "")

    def queue_to_hold(self, held: Held, request: Any) -> str:
        """The queue that decides whether a request is held.

        A run that has come ahead of others is held with its own queue, and with the one it came by
        unless its own is exempt.
        """
        queue, own = self.queue_of(request), self._own_queue_of(request)
        return queue if own not in held.exempt and held.queue(queue) else own

    def _own_queue_of(self, request: Any) -> str:
        home = sent_home(request.message.headers)
        return queue_of_delivery(self._worker.app, home) if home else self.queue_of(request)

    # -- the thread that consumes -----------------------------------------------------------

    def connected(self, consumer: Any) -> None:
        """There is a new connection: what waited here is the broker's again."""
        self.waiting.clear()
        self._scheduled.clear()
        if self.intake is None:
            self.intake = Intake(consumer, self.call_soon)
            hooks_of(self._worker).queue_of = self.intake.queue_by_tag
        self.intake.reconnected()
        self.enforce()

    def enforce(self) -> None:
        """Close and open queues, return what is held, start what no longer is."""
        if self.intake is None:
            return
        number, held = self.number, self.held
        self.intake.settle(held.queue)
        self._learn_bindings(self.intake.names)
        # What is taken back waits here, whatever goes wrong before it is passed on.
        self.waiting.extend(unstarted.take_back(self._worker, lambda r: self._stays(held, r)))
        found = [request for request in tuple(self.waiting) if self._stays(held, request)]
        self._give_back([r for r in found if held.queue(self.queue_of(r)) and self._claim(r)])
        self._park_all([r for r in found if self._claim(r)])
        self.let_through()
        self.enforced = number
        self._settled()

    def _give_back(self, requests: list[Any]) -> None:
        try:
            unstarted.hand_back(requests)
        finally:
            self.waiting.extend(requests)

    def _park_all(self, requests: list[Any]) -> None:
        left = requests
        try:
            left = self._park(requests) if requests else []
        finally:
            self.waiting.extend(left)
        if left:
            self._worker.timer.call_after(RETRY, self.call_soon)

    def _claim(self, request: Any) -> bool:
        """Take a request from those that wait; on some pools the timer's thread may be quicker."""
        try:
            self.waiting.remove(request)
        except ValueError:
            return False
        return True

    def _learn_bindings(self, names: list[str]) -> None:
        """A message can only have come from a queue that is consumed here."""
        self._bindings = [b for b in bindings(self._worker.app) if b.queue in names]

    def let_through(self) -> None:
        """Start what waits here and may start."""
        while self.waiting and self._has_room():
            request = self._next_free()
            if request is None:
                return
            self._start(request)

    def _next_free(self) -> Any:
        for request in tuple(self.waiting):
            if not self._stays(self.held, request) and self._claim(request):
                return request
        return None

    def _enforce_scheduled(self) -> None:
        self._scheduled.clear()
        consumer = self._worker.consumer
        try:
            self.enforce()
        except (*consumer.connection_errors, *consumer.channel_errors):
            raise  # Celery connects anew, and with that comes ``connected``; or it ends the worker
        except Exception:
            logger.exception("The maintenance mode is not fully in force; trying again")
            self._worker.timer.call_after(RETRY, self.call_soon)

    # -- each request -----------------------------------------------------------------------

    def _admit(self, request: Any) -> None:
        if self._open:
            self._start(request)
        else:
            self._consider(request)

    def _admit_solo(self, request: Any) -> None:
        if self._stale is not None:
            self._refresh(self._stale)
        began = time.monotonic()
        self._admit(request)
        ended = time.monotonic()
        self._stale = ended if ended - began > LONG else None

    def _consider(self, request: Any) -> None:
        if self.intake is None:
            self._without_intake(request)
        elif self._stays(self.held, request):
            self.waiting.append(request)
            self.call_soon()
        elif self._is_exempt(request) or (not self.waiting and self._has_room()):
            self._start(request)
        else:
            self.waiting.append(request)

    def _without_intake(self, request: Any) -> None:
        """The plugin could not start: plain tasks run, and runs wait elsewhere or here."""
        if self.cannot_start(request):
            self.waiting.extend(self._park([request]))
        else:
            self._start(request)

    def _stays(self, held: Held, request: Any) -> bool:
        return self.cannot_start(request) or held.covers(
            request.type, self.queue_to_hold(held, request)
        )

    def _is_exempt(self, request: Any) -> bool:
        if not self._exempt:
            return False
        return not self._exempt.isdisjoint((self.queue_of(request), self._own_queue_of(request)))

    def _has_room(self) -> bool:
        if self.allowed is None:
            return True
        try:
            return sum(not self._is_exempt(request) for request in self.begun()) < self.allowed
        except StillChanging:
            return False  # it is unknown how many run; asked again in a moment

"""The prefork pool: dead children are noticed soon, and a child's next job goes out first.

The pool hands the next job to a child after the main process has dealt with the last one's
result. A late acknowledgement belongs to that, and on Redis it is a round trip that the child
waits for: as long as a short task takes. Tried on Celery 5.5 to 5.7 with kombu 5.5 to 5.7.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable, Iterator
from inspect import isgenerator
from typing import Any

from celery_graceful._celery.worker_parts import processes_of

logger = logging.getLogger("celery_graceful.worker")


class NextJobFirst:
    """Puts off what can wait until the pool's next job is on its way to its child.

    The event loop writes jobs at the end of the turn after the one that brought a result, so what
    is put off waits for the beginning of the turn after that. Nothing waits when no job does, or
    when the worker stops.

    Args:
        jobs: what the pool has still to hand out; only looked at.
    """

    def __init__(self, jobs: Any) -> None:
        self._jobs = jobs
        self._put_off: list[Callable[[], None]] = []
        self._seen = 0
        self._closed = False

    def __call__(self, act: Callable[[], None]) -> None:
        if self._closed or not self._jobs:
            act()
        else:
            self._put_off.append(act)

    def tick(self) -> None:
        """A turn of the event loop begins."""
        due, self._seen = self._seen, len(self._put_off)
        if due:
            self._seen -= due
            self._act(due)

    def close(self) -> None:
        """Nothing waits any longer: the worker stops."""
        self._closed, self._seen = True, 0
        self._act(len(self._put_off))

    def _act(self, count: int) -> None:
        for _ in range(count):
            act = self._put_off.pop(0)
            try:
                act()
            except Exception:  # else one would keep back the others, or end the event loop
                logger.exception("What was put off could not be done: %r", act)


def next_job_first(worker: Any, hub: Any) -> NextJobFirst | None:
    """For a worker's pool, if that is a prefork pool on an event loop."""
    jobs = getattr(processes_of(worker), "outbound_buffer", None)
    if jobs is None:
        return None
    later = NextJobFirst(jobs)
    hub.on_tick.add(later.tick)
    return later


def look_for_dead_children(worker: Any, hub: Any, every: float) -> None:
    """Have a prefork pool look for dead children every so many seconds.

    The pool hears of a death when the child's pipe closes, looks whether the child has ended, and
    on a busy machine it has not quite; the next look would come with a timer of 5 s.
    """
    maintain = getattr(processes_of(worker), "maintain_pool", None)
    if maintain is not None:
        hub.call_repeatedly(every, maintain)


def hear_of_accepted_jobs(worker: Any, hub: Any, at_most: float) -> None:
    """Before a warm stop, wait until children have said that they accept what was sent to them.

    A stopping consumer has the pool forget every job that is not known to be accepted
    (``AsynPool.flush``). A child does such a job all the same; nobody hears of its result, so its
    message goes back to the broker, and the child waits half a minute for being heard before it
    ends (billiard's ``_ensure_messages_consumed``), and the worker for the child. Seen on Celery
    5.6 and 5.7, not on 5.5, with tasks of any kind, when a stop meets a busy queue of short ones.

    Args:
        worker: a worker whose event loop has ended.
        hub: its event loop.
        at_most: seconds; a child that gets jobs in advance (``-O fast``) accepts them one by one.
    """
    pool = processes_of(worker)
    if hub is None or not hasattr(pool, "handle_result_event"):
        return
    until = time.monotonic() + at_most
    while (left := until - time.monotonic()) > 0:
        pipes = {process.outqR_fd for process in _yet_to_accept(pool)}
        if not pipes:
            return
        look = select.poll()
        for pipe in pipes:
            look.register(pipe, select.POLLIN)
        for pipe, _ in look.poll(left * 1000):
            _read(pool, hub, pipe)


def _yet_to_accept(pool: Any) -> Iterator[Any]:
    """The processes that were sent a job and have not said that they accept it."""
    for job in tuple(pool._cache.values()):
        process = getattr(job, "_write_to", None)
        if process is not None and not job.accepted() and process._is_alive():
            yield process


def _read(pool: Any, hub: Any, pipe: int) -> None:
    callback, arguments = hub.readers.get(pipe, (pool.handle_result_event, (pipe,)))
    if not isgenerator(callback):
        callback(*arguments)
        return
    try:
        next(callback)  # in the middle of a long message
    except StopIteration:
        pass
    except (OSError, EOFError):
        hub.remove(pipe)

"""The prefork pool: noticing dead children soon, and knowing at a stop what they have begun."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from inspect import isgenerator
from typing import Any


def look_for_dead_children(worker: Any, hub: Any, every: float) -> None:
    """Have a prefork pool look for dead children every so many seconds.

    The pool hears of a death when the child's pipe closes, looks whether the child has ended, and
    on a busy machine it has not quite; the next look would come with a timer of 5 s.
    """
    maintain = getattr(getattr(worker.pool, "_pool", None), "maintain_pool", None)
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
    pool = getattr(worker.pool, "_pool", None)
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

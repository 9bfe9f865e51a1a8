"""Requests that a worker holds and has not begun: taking them back, giving them to the broker.

They wait in the pool's semaphore (prefork), in the executor's queue (threads), in the buckets of
rate limits, and as ETA tasks in the timer. Tried on Celery 5.5 to 5.7 with kombu 5.5 to 5.7.
"""

from __future__ import annotations

import queue as queue_module
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from celery.worker import state as _typed_state
from celery.worker.request import Request
from kombu.transport.virtual.base import QoS as VirtualQoS

from celery_graceful._celery.pool.kind import pool_kind
from celery_graceful._celery.threads.native import snapshot
from celery_graceful._celery.worker_parts import executor_queue_of, jobs_of, slot_queue_of

state: Any = _typed_state

Wanted = Callable[[Any], bool]


def intercept(worker: Any, instead: Callable[[Any], None]) -> Callable[[Any], None]:
    """Have requests that may be started now go to ``instead``; returns what starts one.

    Args:
        worker: a worker that has its pool, and has no consumer yet.
        instead: called with each request, in the thread that consumes or keeps the timer.
    """
    start: Callable[[Any], None] = worker.process_task
    worker.process_task = instead
    return start


def begun(worker: Any, held_here: Iterable[Any]) -> list[Any]:
    """The requests that run, or are on their way to a child: all but those ``held_here``.

    Reserved requests are not enough: with a connection that is lost Celery forgets those that run
    (5.5, 5.6), and those that a thread has yet to begin; with ``revoke(terminate=True)`` it
    forgets a task that may take its time to end.
    """
    here = {id(request) for request in held_here}
    known = (
        *snapshot(state.reserved_requests),
        *snapshot(state.active_requests),
        *_in_children(worker),
    )
    mine = [r for r in known if id(r) not in here and _is_of(worker, r)]
    return list({id(r): r for r in mine}.values())


def _is_of(worker: Any, request: Any) -> bool:
    """Whether a worker has received a request: Celery keeps those of all workers of a process."""
    return bool(getattr(request, "hostname", worker.hostname) == worker.hostname)


def _in_children(worker: Any) -> list[Any]:
    """The requests behind what a prefork pool's children are at."""
    owners = [
        getattr(getattr(job, "_callback", None), "__self__", None)
        for job in snapshot(jobs_of(worker).values())
        if not job.ready()
    ]
    return [owner for owner in owners if isinstance(owner, Request)]


def take_back(worker: Any, wanted: Wanted) -> list[Any]:
    """Take those requests that are ``wanted`` from wherever they wait to be begun."""
    consumer = worker.consumer
    return [
        *_from_semaphore(slot_queue_of(worker), wanted),
        *_from_executor(executor_queue_of(worker), wanted),
        *_from_buckets(consumer.task_buckets.values(), wanted),
        *_from_timer(consumer, wanted),
    ]


def left_by_closed_pool(worker: Any) -> list[Any]:
    """What waited for a prefork pool's slots, which have forgotten it when the pool was closed."""
    if not pool_kind(worker).children:
        return []
    sent = {id(request) for request in _in_children(worker)}
    return [
        request
        for request in snapshot(state.reserved_requests)
        if not (request.time_start or id(request) in sent or request.acknowledged)
        and _is_of(worker, request)
    ]


def hand_back(requests: list[Any], enough: Callable[[], bool] = lambda: False) -> None:
    """Return requests to the broker, so that they are delivered again in the order they had.

    May raise any of the connection's errors. What was returned is taken off the list; the rest
    stays on it once there was ``enough``.
    """
    requests[:] = _as_delivered(requests)
    while requests and not enough():
        _return(requests[-1])
        forget(requests.pop())


def forget(request: Any) -> None:
    """The worker has nothing to do with the request any more."""
    state.task_ready(request)
    scheduled = getattr(state, "scheduled_requests", None)
    if scheduled is not None:
        scheduled.discard(request)


def not_begun_after_all(request: Any) -> None:
    """A request that its pool is done with waits here again, as if it had not begun."""
    state.task_ready(request)
    request.time_start = request.worker_pid = None
    state.task_reserved(request)


def _from_semaphore(waiting: Any, wanted: Wanted) -> list[Any]:
    if not waiting:
        return []
    found = []
    for entry in _in_turn(waiting):
        args = entry[1]
        if args and isinstance(args[0], Request) and wanted(args[0]):
            found.append(args[0])
        else:
            waiting.append(entry)
    return found


def _in_turn(entries: Any) -> Iterator[Any]:
    """Take each entry off a deque once; on some pools the timer's thread uses it as well."""
    for _ in range(len(entries)):
        try:
            yield entries.popleft()
        except IndexError:
            return


def _from_executor(waiting: Any, wanted: Wanted) -> list[Any]:
    if waiting is None:
        return []
    found, items = [], []
    while True:
        try:
            items.append(waiting.get_nowait())
        except queue_module.Empty:
            break
    for item in items:
        request = _request_of(item)
        if request is not None and wanted(request) and item.future.cancel():
            found.append(request)
        else:
            waiting.put(item)
    return found


def waits_for_thread(worker: Any) -> bool:
    """Whether a pool of threads has something to begin, which it does with or without a broker."""
    waiting = executor_queue_of(worker)
    return waiting is not None and not waiting.empty()


def _request_of(item: Any) -> Any:
    """The request behind a work item: its callbacks are methods of it."""
    for argument in getattr(item, "args", ()):
        owner = getattr(argument, "__self__", None)
        if isinstance(owner, Request):
            return owner
    return None


def _from_buckets(buckets: Iterable[Any], wanted: Wanted) -> list[Any]:
    found = []
    for bucket in buckets:
        if not bucket or not bucket.contents:
            continue
        for entry in _in_turn(bucket.contents):
            if wanted(entry[0]):
                found.append(entry[0])
            else:
                bucket.contents.append(entry)
    return found


def _from_timer(consumer: Any, wanted: Wanted) -> list[Any]:
    found = []
    for entry, handle in _entries_of(consumer.timer):
        args = getattr(entry, "args", None)
        request = args[0] if args else None
        if getattr(entry, "canceled", False) or not isinstance(request, Request):
            continue
        if wanted(request):
            consumer.timer.cancel(handle)
            consumer.qos.decrement_eventually()
            found.append(request)
    return found


def _entries_of(timer: Any) -> Iterator[tuple[Any, Any]]:
    """Each entry of a worker's timer, with what the timer wants to cancel it."""
    queue = getattr(timer, "queue", None)
    if queue is None:
        queue = timer.schedule.queue
    for item in list(queue):
        entry = getattr(item, "entry", None)
        if entry is not None:
            yield entry, item if hasattr(item, "kill") else entry


def _as_delivered(requests: list[Any]) -> list[Any]:
    """In the order of delivery, as far as the transport notes it."""
    qos = getattr(requests[0].message.channel, "qos", None) if requests else None
    delivered = getattr(qos, "_delivered", None) or ()
    place = {tag: number for number, tag in enumerate(tuple(delivered))}
    return sorted(requests, key=lambda r: place.get(r.message.delivery_tag, len(place)))


def _return(request: Any) -> None:
    if request.acknowledged:
        return
    message = request.message
    qos: Any = getattr(message.channel, "qos", None)
    if getattr(qos, "restore_by_tag", None) is None:
        message.requeue()
    else:
        # Redis: kombu's own way puts the message behind all others.
        qos.restore_by_tag(message.delivery_tag, leftmost=False)
        VirtualQoS.ack(qos, message.delivery_tag)
        message._state = "REQUEUED"
    request.acknowledged = True

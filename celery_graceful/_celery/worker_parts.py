"""The parts of Celery's worker that others ask for, some of which come and go while it runs.

Tried on Celery 5.5 to 5.7 with billiard 4.2 and 4.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def consumer_of(worker: Any) -> Any:
    """Its consumer; ``None`` until it has one."""
    return getattr(worker, "consumer", None)


def connection_of(worker: Any) -> Any:
    """The connection that it consumes by; ``None`` while there is none."""
    return getattr(consumer_of(worker), "connection", None)


def task_consumer_of(worker: Any) -> Any:
    """kombu's consumer of its tasks, anew at each connection; ``None`` while there is none."""
    return getattr(consumer_of(worker), "task_consumer", None)


def loop_of(worker: Any) -> Any:
    """Its event loop; ``None`` where a thread consumes."""
    return getattr(worker, "hub", None)


def events_of(worker: Any) -> Any:
    """What sends its monitoring events; ``None`` if none are sent."""
    dispatcher = getattr(consumer_of(worker), "event_dispatcher", None)
    return dispatcher if dispatcher is not None and dispatcher.enabled else None


def slots_of(worker: Any) -> int:
    """How many tasks it can run at once."""
    return int(worker.max_concurrency or worker.concurrency or 1)


def processes_of(worker: Any) -> Any:
    """billiard's pool behind a prefork pool; ``None`` for other kinds, and before it has begun."""
    pool = getattr(worker.pool, "_pool", None)
    return pool if hasattr(pool, "_cache") else None


def child_pids(worker: Any) -> frozenset[int]:
    """The children of a prefork pool; none for other kinds."""
    children = getattr(processes_of(worker), "_pool", None) or ()
    return frozenset(child.pid for child in list(children) if child.pid)


def jobs_of(worker: Any) -> Mapping[Any, Any]:
    """What a prefork pool has sent to its children, or is about to."""
    jobs: Mapping[Any, Any] = getattr(processes_of(worker), "_cache", None) or {}
    return jobs


def executor_queue_of(worker: Any) -> Any:
    """What waits for a thread of a pool of threads; ``None`` for other kinds."""
    return getattr(getattr(worker.pool, "executor", None), "_work_queue", None)


def slot_queue_of(worker: Any) -> Any:
    """What waits for a free child of a prefork pool; ``None`` for other kinds."""
    return getattr(getattr(worker, "semaphore", None), "_waiting", None)

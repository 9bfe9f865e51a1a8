"""Two workers of an app in one process, each with its own stop flag, leases and listener.

On a broker without an event loop: Celery has one such loop in a process, and one app for its tasks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from celery import Celery
from celery import signals as celery_signals
from celery.contrib.testing.worker import start_worker

from celery_graceful import Graceful, IterableTask
from celery_graceful._celery.consumer.run_hooks import hooks_of
from celery_graceful._celery.consumer.running import active_runs
from celery_graceful.model.run.record import RunKey
from celery_graceful.runtime import runtime_of
from celery_graceful.stop import flag as stop_flag

QUEUES = ("first", "second")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Celery's helper sets the root logger's level for the whole process."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


def test_each_has_its_own_flag_and_listener(redis_url: str) -> None:
    app = Celery("shop", broker="memory://", backend=redis_url, set_as_current=False)
    app.conf.update(graceful_store=redis_url, graceful_lease_ttl="3s")
    Graceful(app)
    reached = {queue: threading.Event() for queue in QUEUES}
    go_on = threading.Event()

    @app.task(base=IterableTask, name="shop.work", shared=False)
    def work(queue: str, cursor: int | None = None) -> Iterator[int]:
        for number in range(cursor or 0, 100):
            yield number + 1
            if number == 0:
                reached[queue].set()
                assert go_on.wait(60)

    def start(stack: ExitStack, queue: str) -> Any:
        worker = stack.enter_context(
            start_worker(
                app,
                pool="threads",
                concurrency=2,
                hostname=f"{queue}@here",
                queues=queue,
                perform_ping_check=False,
                shutdown_timeout=60,
            )
        )
        # What `celery worker` sends at its end, and Celery's helper does not.
        stack.callback(celery_signals.worker_shutdown.send, sender=worker)
        return worker

    def send(task: Any, queue: str, *args: Any) -> Any:
        return task.apply_async(args=args, queue=queue)

    with ExitStack() as stack:
        stack.callback(go_on.set)
        listeners = [hooks_of(start(stack, queue)).listener for queue in QUEUES]
        assert None not in listeners
        assert listeners[0] is not listeners[1]
        first, second = (stop_flag.current(f"{queue}@here") for queue in QUEUES)
        assert first is not second

        runs = {queue: send(work, queue, queue) for queue in QUEUES}
        for queue, run in runs.items():
            assert reached[queue].wait(60), queue
            key = RunKey("shop.work", run.id)
            record = runtime_of(app).store.load(key).record
            assert record is not None
            assert (record.owner or "").startswith(f"{queue}@here/")
            assert [RunKey(*each) for each in active_runs(f"{queue}@here")] == [key]
        go_on.set()
        for run in runs.values():
            run.get(timeout=60)
    app.close()

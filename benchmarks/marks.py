"""Workers that work off a queue, timed by marks between its tasks."""

from __future__ import annotations

from typing import Any

import redis

from benchmarks.app import MARKS
from benchmarks.queues import FIRST_COPY, copy, worker_of
from tests.harness import Worker, wait_for
from tests.harness.worker import forget_started
from tests.servers import Valkey

_PATIENCE = 300.0


def work_off(server: Valkey, marks: int, *, children: int) -> list[tuple[str, float]]:
    """Let a fresh worker work off a copy of the queue.

    Args:
        server: where the queue was filled.
        marks: how many calls of ``mark`` are in the queue; the last call is one.
        children: how many pool children the worker has.

    Returns:
        The marks' names and times, in monotonic seconds.
    """
    copy(server, FIRST_COPY)
    try:
        with (
            server.client(FIRST_COPY) as client,
            worker_of(server, FIRST_COPY, children=children) as worker,
        ):
            _wait(worker, client, marks)
            return _read(client)
    finally:
        forget_started()


def _wait(worker: Worker, client: redis.Redis, marks: int) -> None:
    def done() -> bool:
        if worker.exit_code is not None:
            raise RuntimeError(f"the worker ended\n{worker.log()}")
        count: Any = client.llen(MARKS)
        return int(count) >= marks

    wait_for(done, _PATIENCE, worker.log)


def _read(client: redis.Redis) -> list[tuple[str, float]]:
    lines: Any = client.lrange(MARKS, 0, -1)
    found = (line.decode().rsplit(" ", 1) for line in lines)
    return [(name, float(at)) for name, at in found]

"""Workers that work off a queue filled beforehand, timed by marks between its tasks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psutil
import redis
from celery import Celery

from benchmarks.app import MARKS
from tests.harness import Worker, producer, wait_for
from tests.harness.worker import forget_started
from tests.servers import Valkey

__all__ = ["Message", "Worked", "fill", "url_of", "work_off"]

Message = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Worked:
    """How a worker worked off its queue."""

    #: The marks' names and times, in monotonic seconds.
    marks: list[tuple[str, float]]
    #: Processor time of the worker and its child from the first mark to the last, in seconds.
    processor: float


#: Where queues are filled; workers get a copy each.
TEMPLATE, WORKED = 1, 2
_PATIENCE = 300.0


def url_of(server: Valkey, database: int) -> str:
    """The URL of one database."""
    return f"{server.url.rsplit('/', 1)[0]}/{database}"


def fill(server: Valkey, messages: Iterable[Message]) -> None:
    """Fill the template of the queue with calls of the application's tasks, by their last name."""
    url = url_of(server, TEMPLATE)
    with server.client(TEMPLATE) as client:
        client.flushdb()
    with producer(url, url) as app, app.producer_pool.acquire(block=True) as sender:
        for name, args in messages:
            _send(app, sender, name, args)


def _send(app: Celery, sender: Any, name: str, args: tuple[Any, ...]) -> None:
    app.send_task(f"benchmarks.app.{name}", args, producer=sender)


def work_off(server: Valkey, marks: int, *, plugin: bool = True, children: int = 1) -> Worked:
    """Let a fresh worker work off a copy of the queue.

    Args:
        server: where the queue was filled.
        marks: how many calls of ``mark`` are in the queue; the last call is one.
        plugin: whether the worker's application has the plugin.
        children: how many pool children it has.
    """
    with server.client(TEMPLATE) as template, server.client(WORKED) as client:
        client.flushdb()
        template.copy("celery", "celery", destination_db=WORKED)
        env = {"BENCH_URL": url_of(server, WORKED), "BENCH_PLUGIN": "1" if plugin else "0"}
        args = ("-c", str(children), "-l", "WARNING", "--without-gossip", "--without-mingle")
        try:
            with Worker("benchmarks.app", args=args, env=env) as worker:
                _wait(worker, client, 1)
                before = _processor(worker)
                _wait(worker, client, marks)
                return Worked(_read(client), _processor(worker) - before)
        finally:
            forget_started()


def _wait(worker: Worker, client: redis.Redis, marks: int) -> None:
    def done() -> bool:
        if worker.exit_code is not None:
            raise RuntimeError(f"the worker ended\n{worker.log()}")
        count: Any = client.llen(MARKS)
        return int(count) >= marks

    wait_for(done, _PATIENCE, worker.log)


def _processor(worker: Worker) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in (worker.pid, *worker.children())]
    return float(sum(t.user + t.system for t in times))


def _read(client: redis.Redis) -> list[tuple[str, float]]:
    lines: Any = client.lrange(MARKS, 0, -1)
    found = (line.decode().rsplit(" ", 1) for line in lines)
    return [(name, float(at)) for name, at in found]

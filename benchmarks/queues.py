"""Queues filled once, copies of them, and workers that work those off."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psutil
from celery import Celery

from tests.harness import Worker, producer
from tests.servers import Valkey

#: What a worker's application has of the plugin: all, all but maintenance, nothing.
PLUGIN, UNGATED, NONE = "1", "ungated", "0"


#: A task's last name, and its arguments.
Message = tuple[str, tuple[Any, ...]]

#: The database in which the queue is filled, and the first of those for copies.
TEMPLATE, FIRST_COPY = 1, 2


def url_of(server: Valkey, database: int) -> str:
    """The URL of one database."""
    return f"{server.url.rsplit('/', 1)[0]}/{database}"


def fill(server: Valkey, messages: Iterable[Message]) -> None:
    """Fill the template of the queue with calls of the application's tasks."""
    url = url_of(server, TEMPLATE)
    with server.client(TEMPLATE) as client:
        client.flushdb()
    with producer(url, url) as app, app.producer_pool.acquire(block=True) as sender:
        for name, args in messages:
            _send(app, sender, name, args)


def _send(app: Celery, sender: Any, name: str, args: tuple[Any, ...]) -> None:
    app.send_task(f"benchmarks.app.{name}", args, producer=sender)


def copy(server: Valkey, database: int) -> None:
    """Leave nothing in a database but a copy of the queue."""
    with server.client(TEMPLATE) as template, server.client(database) as client:
        client.flushdb()
        template.copy("celery", "celery", destination_db=database)


def put_first(server: Valkey, database: int, messages: Iterable[Message]) -> None:
    """Put messages into a copy of the queue, ahead of the others; the template is used up."""
    fill(server, messages)
    with server.client(TEMPLATE) as template, server.client(database) as client:
        raw: Any = template.lrange("celery", 0, -1)
        client.rpush("celery", *raw)


def left(server: Valkey, database: int) -> int:
    """How many messages are still in the copy, without the few that a worker has fetched."""
    with server.client(database) as client:
        count: Any = client.llen("celery")
        return int(count)


def worker_of(server: Valkey, database: int, *, plugin: str = PLUGIN, children: int = 1) -> Worker:
    """A worker, not yet started, for the copy in a database.

    Args:
        server: where the copy is.
        database: its database.
        plugin: what the worker's application has of the plugin.
        children: how many pool children it has.
    """
    env = {"BENCH_URL": url_of(server, database), "BENCH_PLUGIN": plugin}
    args = ("-c", str(children), "-l", "WARNING", "--without-gossip", "--without-mingle")
    return Worker("benchmarks.app", args=args, env=env)


def processor(worker: Worker) -> float:
    """Seconds of processor time of a worker and its children."""
    times = [psutil.Process(pid).cpu_times() for pid in (worker.pid, *worker.children())]
    return float(sum(t.user + t.system for t in times))

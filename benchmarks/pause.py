"""How soon maintenance works: from ``down`` to the last start, from ``up`` to the first."""

from __future__ import annotations

import time
from contextlib import ExitStack
from statistics import median

from benchmarks.app import MARKS
from benchmarks.figures import Figure
from benchmarks.queues import FIRST_COPY, copy, fill, left, url_of, worker_of
from celery_graceful import Graceful
from tests.harness import producer, wait_for
from tests.harness.worker import forget_started
from tests.servers import Valkey

#: Seconds at the median.
BOUND = 0.5
WORKERS, CHILDREN = 3, 2
ROUNDS, QUICK_ROUNDS = 20, 3
MESSAGES = 60_000
#: Seconds of work and of quiet in each round.
WORK, QUIET = 0.7, 1.5


def measure(*, quick: bool = False) -> list[Figure]:
    """Pause and resume workers that have a long queue of short tasks."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    try:
        with Valkey() as server, ExitStack() as running:
            fill(server, [("mark", ("x",))] * MESSAGES)
            copy(server, FIRST_COPY)
            for _ in range(WORKERS):
                running.enter_context(worker_of(server, FIRST_COPY, children=CHILDREN))
            url = url_of(server, FIRST_COPY)
            app = running.enter_context(producer(url, url, graceful_namespace="benchmarks"))
            graceful = Graceful(app)
            wait_for(lambda: _starts(server), 60, "the first task")
            downs, ups = zip(*(_round(server, graceful) for _ in range(rounds)), strict=True)
            assert left(server, FIRST_COPY) > 0, "the queue has run dry"
    finally:
        forget_started()
    return [_figure("down to the last start", downs), _figure("up to the first start", ups)]


def _round(server: Valkey, graceful: Graceful) -> tuple[float, float]:
    time.sleep(WORK)
    down_at = time.monotonic()
    graceful.maintenance.down(reason="benchmark")
    time.sleep(QUIET)
    last = max(_starts(server))
    up_at = time.monotonic()
    graceful.maintenance.up()
    first = wait_for(lambda: [at for at in _starts(server) if at > up_at], 10, "a start")
    return max(0.0, last - down_at), min(first) - up_at


def _starts(server: Valkey) -> list[float]:
    """When the latest tasks began."""
    with server.client(FIRST_COPY) as client:
        marks = client.lrange(MARKS, -2000, -1)
    return [float(mark.split()[1]) for mark in marks]


def _figure(what: str, seconds: tuple[float, ...]) -> Figure:
    return Figure(
        "pause", what, median(seconds), max(seconds), BOUND, unit="s", rounds=len(seconds)
    )

"""Connections of a worker with four runs over a minute: to broker, store and result backend."""

from __future__ import annotations

import time
from typing import Any

import redis

from benchmarks.figures import Figure
from benchmarks.queues import FIRST_COPY, copy, fill, worker_of
from tests.harness import wait_for
from tests.servers import Valkey

RUNS = 4
SECONDS, QUICK_SECONDS = 60.0, 10.0
#: After so many seconds each child has its connections.
SETTLED = 4.0
#: Connections opened meanwhile: each run writes one PROGRESS a second.
BOUND = 4.0


def measure(*, quick: bool = False) -> list[Figure]:
    """Count the connections that are open, and those that were opened, after the first seconds."""
    seconds = QUICK_SECONDS if quick else SECONDS
    with Valkey() as server:
        fill(server, [("counted", (seconds + 2 * SETTLED,))] * RUNS)
        copy(server, FIRST_COPY)
        with (
            server.client(FIRST_COPY) as client,
            worker_of(server, FIRST_COPY, children=RUNS) as worker,
        ):
            wait_for(lambda: _progress(client) == RUNS, 60, worker.log)
            time.sleep(SETTLED)
            before, counts = _accepted(client), []
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                counts.append(len(client.client_list()))
                time.sleep(0.5)
            opened = float(_accepted(client) - before)
    what = f"{RUNS} runs, {seconds:.0f} s"
    return [
        Figure("connections", f"{what}: opened", opened, opened, BOUND, unit=""),
        Figure(
            "connections",
            f"{what}: most less fewest",
            max(counts) - min(counts),
            max(counts),
            unit="",
            rounds=len(counts),
            note="worst: the most that were open",
        ),
    ]


def _progress(client: redis.Redis) -> int:
    keys: Any = client.keys("celery-task-meta-*")
    values: Any = [client.get(key) for key in keys]
    return sum(b"PROGRESS" in (value or b"") for value in values)


def _accepted(client: redis.Redis) -> int:
    stats: Any = client.info("stats")
    return int(stats["total_connections_received"])

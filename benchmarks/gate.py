"""What the gate costs: throughput of plain tasks with it and without, and an idle worker."""

from __future__ import annotations

import time
from contextlib import ExitStack
from statistics import median

from benchmarks.figures import Figure
from benchmarks.queues import FIRST_COPY, PLUGIN, UNGATED, processor, worker_of
from benchmarks.throughput import compare
from tests.harness.worker import forget_started
from tests.servers import Valkey

#: Seconds for which workers idle, side by side; rounds of that.
IDLE, QUICK_IDLE, ROUNDS = 40.0, 5.0, 3
#: Seconds until a worker that was just started idles.
SETTLE = 8.0
#: Percent of a core.
BOUND = 0.1
#: Seconds between two reads, by the default of ``graceful_maintenance_poll``.
POLL = 4.0


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure pairs of workers that work, then pairs that idle."""
    figures = compare("gate", (PLUGIN, UNGATED, UNGATED), quick=quick)
    idle = [_idle(QUICK_IDLE if quick else IDLE) for _ in range(1 if quick else ROUNDS)]
    costs = [with_ - without for with_, without, _ in idle]
    reads = [count for _, _, count in idle]
    note = f"{median(i[0] for i in idle):.2f} against {median(i[1] for i in idle):.2f} % of a core"
    return [
        *figures,
        Figure(
            "gate",
            "idle cost",
            median(costs),
            max(costs),
            BOUND,
            unit="%",
            rounds=len(idle),
            note=note,
        ),
        Figure(
            "gate",
            "store reads per poll",
            median(reads),
            max(reads),
            1.3,
            unit="",
            rounds=len(idle),
        ),
    ]


def _idle(seconds: float) -> tuple[float, float, float]:
    """Percent of a core with the gate and without, and calls to the board per poll interval."""
    try:
        with Valkey() as server, ExitStack() as running:
            sides = []
            for number, plugin in enumerate((PLUGIN, UNGATED)):
                with server.client(FIRST_COPY + number) as client:
                    client.flushdb()
                worker = worker_of(server, FIRST_COPY + number, plugin=plugin)
                sides.append(running.enter_context(worker))
            time.sleep(SETTLE)
            before, calls = [processor(worker) for worker in sides], _board_calls(server)
            time.sleep(seconds)
            spent = [processor(w) - b for w, b in zip(sides, before, strict=True)]
            made = _board_calls(server) - calls
            with_, without = (s / seconds * 100 for s in spent)
            return with_, without, made / (seconds / POLL)
    finally:
        forget_started()


def _board_calls(server: Valkey) -> int:
    """Each is one write to the hash of reports; an idle broker writes to no hash."""
    with server.client(0) as client:
        stats = client.info("commandstats")
    return int(stats.get("cmdstat_hset", {}).get("calls", 0))

"""The look for overdue runs among thousands of live ones: its time, and what it costs the store."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from redis import Redis

from benchmarks.figures import Figure
from benchmarks.stores import places, timed
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import Record, RunKey, State
from celery_graceful.runs.lost.rescue import Rescuer
from celery_graceful.runtime import Runtime

LIVE, LOOKS, QUICK_LOOKS = 5000, 300, 50
#: Milliseconds for one look.
BOUND = 5.0
OWNERS, LEASE = 50, 600.0


def measure(*, quick: bool, only: str = "") -> list[Figure]:
    """One figure for each store's time per look; for Redis its processor time as well."""
    looks = QUICK_LOOKS if quick else LOOKS
    figures = []
    for kind, runtime, client in places(only):
        _fill(runtime)
        figures += _looked(kind, Rescuer(runtime, runtime.store), looks, client)
        figures.append(_beaten(kind, runtime, looks))
    return figures


def _looked(kind: str, rescuer: Rescuer, looks: int, client: Redis | None) -> list[Figure]:
    before = _processor(client) if client is not None else 0.0
    times = [timed(lambda: rescuer.look(time.monotonic())) for _ in range(looks)]
    what = f"{kind}: a look among {LIVE} live runs"
    found = [Figure("scan", what, median(times), max(times), BOUND, unit="ms", rounds=looks)]
    if client is not None:
        spent = (_processor(client) - before) * 1000 / looks
        note = "of the server, per look"
        what = f"{kind}: processor time"
        found.append(Figure("scan", what, spent, spent, unit="ms", rounds=looks, note=note))
    return found


def _beaten(kind: str, runtime: Runtime, looks: int) -> Figure:
    """For comparison: the lease renewal of a worker with a hundred runs."""
    mine = [RunKey("bench.run", str(n)) for n in range(0, LIVE, OWNERS)]
    times = [
        timed(lambda: runtime.store.renew("w0", mine, due_in=LEASE)) for _ in range(looks // 3)
    ]
    what = f"{kind}: lease renewal of {len(mine)} runs of one worker"
    return Figure("scan", what, median(times), max(times), unit="ms", rounds=len(times))


def _fill(runtime: Runtime) -> None:
    checkpoint = encode(Checkpoint(12345, {"rows": 12345}, 12345, 100000))
    for n in range(LIVE):
        record = Record(
            State.RUNNING,
            fence=1,
            owner=f"w{n % OWNERS}",
            checkpoint=checkpoint,
            steps=12345,
            envelope=b"e" * 600,
            started_at=1.0,
        )
        runtime.store.swap(RunKey("bench.run", str(n)), 0, record, due_in=LEASE)


def _processor(client: Redis) -> float:
    info: Any = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

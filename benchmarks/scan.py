"""The look for overdue runs among thousands of live ones: its time, and what it costs the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from uuid import uuid4

from celery import Celery

from benchmarks.figures import Figure
from celery_graceful.model.cursor import Checkpoint, encode
from celery_graceful.model.record import Record, RunKey, State
from celery_graceful.runs.rescue import Rescuer
from celery_graceful.runtime import Runtime, runtime_of
from tests.servers import MissingProgram, Postgres, Valkey

__all__ = ["measure"]

LIVE, LOOKS, QUICK_LOOKS = 5000, 300, 50
#: Milliseconds for one look.
BOUND = 5.0
OWNERS, LEASE = 50, 600.0


def measure(*, quick: bool) -> list[Figure]:
    """One figure for each store's time per look; for Redis its processor time as well."""
    looks = QUICK_LOOKS if quick else LOOKS
    figures = []
    for kind, opened in (("Redis", _redis), ("SQLite", _sqlite), ("PostgreSQL", _postgres)):
        with ExitStack() as stack:
            try:
                url, processor = stack.enter_context(opened())
            except MissingProgram:
                continue
            runtime = stack.enter_context(_filled(url))
            figures += _looked(kind, Rescuer(runtime, runtime.store), looks, processor)
            figures.append(_beaten(kind, runtime, looks))
    return figures


def _looked(
    kind: str, rescuer: Rescuer, looks: int, processor: Callable[[], float] | None
) -> list[Figure]:
    before = processor() if processor is not None else 0.0
    times = [_timed(lambda: rescuer.look(time.monotonic())) for _ in range(looks)]
    what = f"{kind}: a look among {LIVE} live runs"
    found = [Figure("scan", what, median(times), max(times), BOUND, unit="ms", rounds=looks)]
    if processor is not None:
        spent = (processor() - before) * 1000 / looks
        note = "of the server, per look"
        what = f"{kind}: processor time"
        found.append(Figure("scan", what, spent, spent, unit="ms", rounds=looks, note=note))
    return found


def _beaten(kind: str, runtime: Runtime, looks: int) -> Figure:
    """For comparison: the beat of a worker with a hundred runs."""
    mine = [RunKey("bench.run", str(n)) for n in range(0, LIVE, OWNERS)]
    times = [
        _timed(lambda: runtime.store.beat("w0", mine, due_in=LEASE)) for _ in range(looks // 3)
    ]
    what = f"{kind}: a beat for {len(mine)} runs of one worker"
    return Figure("scan", what, median(times), max(times), unit="ms", rounds=len(times))


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


@contextmanager
def _filled(url: str) -> Iterator[Runtime]:
    app = Celery(f"bench-{uuid4()}", broker="memory://", set_as_current=False)
    app.conf.graceful_store = url
    runtime = runtime_of(app)
    checkpoint = encode(Checkpoint(12345, {"rows": 12345}, 12345, 100000))
    try:
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
        yield runtime
    finally:
        runtime.store.close()
        app.close()


Place = tuple[str, Callable[[], float] | None]


@contextmanager
def _redis() -> Iterator[Place]:
    with Valkey() as server, server.client() as client:

        def processor() -> float:
            info = client.info("cpu")
            return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

        yield server.url, processor


@contextmanager
def _sqlite() -> Iterator[Place]:
    with TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder) / 'runs.db'}", None


@contextmanager
def _postgres() -> Iterator[Place]:
    with Postgres() as server:
        yield server.url, None

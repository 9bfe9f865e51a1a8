"""A run with a million quarantined items: pages, counts, deletion, and what they cost a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from celery import Celery

from benchmarks.figures import Figure
from celery_graceful.model.record import Record, RunKey, State
from celery_graceful.runtime import Runtime, runtime_of
from tests.servers import MissingProgram, Postgres, Valkey

__all__ = ["measure"]

RUN = RunKey("bench.run", "one")
SIZES, QUICK_SIZES = (20_000, 1_000_000), (20_000,)
ENTRY = "e" * 500
#: Milliseconds: of a call of the client for a page, and of any command on the server.
PAGE_BOUND, SERVER_BOUND = 20.0, 20.0
KEEP = 90 * 86400.0


def measure(*, quick: bool) -> list[Figure]:
    """Times of calls on each kind of store; for Redis the slowest command as well."""
    figures: list[Figure] = []
    for size in QUICK_SIZES if quick else SIZES:
        for kind, opened in (("Redis", _redis), ("SQLite", _sqlite), ("PostgreSQL", _postgres)):
            if kind != "Redis" and size > QUICK_SIZES[0]:
                continue  # filling it takes longer than a benchmark may
            with ExitStack() as stack:
                try:
                    url, slowest = stack.enter_context(opened())
                except MissingProgram:
                    continue
                runtime = stack.enter_context(_runtime(url))
                figures += _figures(f"{kind}, {size:,}", runtime, size, slowest)
    return figures


def _figures(
    what: str, runtime: Runtime, size: int, slowest: Callable[[], float] | None
) -> Iterator[Figure]:
    store = runtime.store
    assert store.swap(RUN, 0, Record(State.RUNNING, fence=1, owner="w"), due_in=86400).done
    puts = [_timed(lambda n=n: store.put_aside(RUN, 1, n, ENTRY, keep=KEEP)) for n in range(size)]  # type: ignore[misc]
    yield _figure(f"{what}: an item is kept", puts, None)
    pages = [_timed(lambda n=n: store.aside(RUN, n, 100)) for n in range(0, size, size // 200)]  # type: ignore[misc]
    yield _figure(f"{what}: a page of 100", pages, PAGE_BOUND)
    began = time.perf_counter()
    first = found = 0
    while page := store.aside(RUN, first, 100):
        found, first = found + len(page), page[-1][0] + 1
    assert found == size
    yield _figure(f"{what}: all pages", [(time.perf_counter() - began) * 1000], None)
    if hasattr(store, "count_aside"):
        counts = [_timed(lambda: store.count_aside(RUN, 0, 100_000)) for _ in range(5)]
        yield _figure(f"{what}: counted up to 100,000", counts, None)
    yield _figure(
        f"{what}: all kept longer", [_timed(lambda: store.keep_aside(RUN, keep=KEEP))], None
    )
    if hasattr(store, "drop_aside_range"):
        dropped = [_timed(lambda: store.drop_aside_range(RUN, 0, fence=1))]
        yield _figure(f"{what}: all dropped", dropped, None)
        assert store.aside(RUN, 0, 1) == []
    if slowest is not None:
        yield _figure(f"{what}: slowest command on the server", [slowest()], SERVER_BOUND)


def _figure(what: str, times: list[float], bound: float | None) -> Figure:
    return Figure(
        "quarantine", what, median(times), max(times), bound, unit="ms", rounds=len(times)
    )


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


@contextmanager
def _runtime(url: str) -> Iterator[Runtime]:
    app = Celery(f"bench-{uuid4()}", broker="memory://", set_as_current=False)
    app.conf.graceful_store = url
    runtime = runtime_of(app)
    try:
        yield runtime
    finally:
        runtime.store.close()
        app.close()


Place = tuple[str, "Callable[[], float] | None"]


@contextmanager
def _redis() -> Iterator[Place]:
    with Valkey() as server, server.client() as client:
        client.config_set("slowlog-log-slower-than", 1000)
        client.config_set("slowlog-max-len", 100000)

        def slowest() -> float:
            entries: list[Any] = client.slowlog_get(100000)
            return max((entry["duration"] / 1000 for entry in entries), default=1.0)

        yield server.url, slowest


@contextmanager
def _sqlite() -> Iterator[Place]:
    with TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder) / 'runs.db'}", None


@contextmanager
def _postgres() -> Iterator[Place]:
    with Postgres() as server:
        yield server.url, None

"""A run with a million quarantined items: pages, counts, deletion, and what they cost a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from redis import Redis
from sqlalchemy import Connection, Engine, create_engine, event, text

from benchmarks.figures import Figure
from benchmarks.stores import places, timed
from celery_graceful.model.run.record import Record, RunKey, State
from celery_graceful.runtime import Runtime

RUN, OTHER = RunKey("bench.run", "one"), RunKey("bench.run", "other")
SIZES, QUICK_SIZES = (20_000, 1_000_000), (20_000,)
ENTRY = "e" * 500
#: Milliseconds: of a call of the client for a page, and of any command on the server.
PAGE_BOUND, SERVER_BOUND = 20.0, 20.0
KEEP = 90 * 86400.0
#: Items that a SQL store is given by its own calls; the rest goes in by one statement.
PUT_IN_SQL = 2_000
#: Items that a SQL store deletes in one step.
SWEPT_AT_ONCE = 500
#: The numbers from ``:first`` to ``:last``, by dialect.
NUMBERS = {
    "postgresql": "generate_series(cast(:first AS bigint), cast(:last AS bigint)) AS numbers(n)",
    "sqlite": "(WITH RECURSIVE numbers(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers"
    " WHERE n < :last) SELECT n FROM numbers)",
}

#: Milliseconds, and which it was.
Slowest = Callable[[], tuple[float, str]]


def measure(*, quick: bool, only: str = "") -> list[Figure]:
    """Times of calls on each kind of store, and its slowest command or statement."""
    figures: list[Figure] = []
    for size in QUICK_SIZES if quick else SIZES:
        for kind, runtime, client in places(only):
            watched = _statements() if client is None else _commands(client)
            with watched as slowest:
                figures += _figures(f"{kind}, {size:,}", runtime, size, client is None, slowest)
    return figures


def _figures(
    what: str, runtime: Runtime, size: int, sql: bool, slowest: Slowest
) -> Iterator[Figure]:
    store = runtime.store
    assert store.swap(RUN, 0, Record(State.RUNNING, fence=1, owner="w"), due_in=86400).done
    put = min(size, PUT_IN_SQL) if sql else size
    puts = [timed(lambda n=n: store.quarantine(RUN, 1, n, ENTRY, keep=KEEP)) for n in range(put)]  # type: ignore[misc]
    yield _figure(f"{what}: an item is kept", puts, None)
    if put < size:
        _fill(runtime, RUN, put, size - 1)
    pages = [timed(lambda n=n: store.quarantined(RUN, n, 100)) for n in range(0, size, size // 200)]  # type: ignore[misc]
    yield _figure(f"{what}: a page of 100", pages, PAGE_BOUND)
    walked: list[float] = []
    first = found = 0
    while True:
        began = time.perf_counter()
        page = store.quarantined(RUN, first, 100)
        walked.append((time.perf_counter() - began) * 1000)
        if not page:
            break
        found, first = found + len(page), page[-1][0] + 1
    assert found == size
    yield _figure(f"{what}: each page of all, one after the other", walked, PAGE_BOUND)
    counts = [timed(lambda: store.count_quarantined(RUN, 0, 100_000)) for _ in range(5)]
    yield _figure(f"{what}: counted up to 100,000", counts, None)
    yield _figure(
        f"{what}: all kept longer", [timed(lambda: store.expire_quarantined(RUN, keep=KEEP))], None
    )
    scattered = [
        timed(lambda n=n: store.drop_quarantined(RUN, range(n, n + 100)))  # type: ignore[misc]
        for n in range(0, size, size // 50)
    ]
    yield _figure(f"{what}: a hundred dropped", scattered, None)
    dropped = [timed(lambda: store.drop_quarantined_range(RUN, 0, fence=1))]
    yield _figure(f"{what}: all dropped", dropped, None)
    assert store.quarantined(RUN, 0, 1) == []
    if sql:
        yield _figure(
            f"{what}: a run ends, and sweeps what has expired", _swept(runtime, size), None
        )
    # A database serves others meanwhile, and its disk has moments of its own.
    name = "statement" if sql else "command on the server"
    longest, which = slowest()
    bound = None if sql else SERVER_BOUND
    yield Figure(
        "quarantine", f"{what}: slowest {name}", longest, longest, bound, unit="ms", note=which
    )


def _figure(what: str, times: list[float], bound: float | None) -> Figure:
    return Figure(
        "quarantine", what, median(times), max(times), bound, unit="ms", rounds=len(times)
    )


def _swept(runtime: Runtime, size: int) -> list[float]:
    """Times of runs that end while as many items of another are swept, a step at a time."""
    store, steps = runtime.store, size // SWEPT_AT_ONCE
    assert store.swap(OTHER, 0, Record(State.RUNNING, fence=1, owner="w"), due_in=86400).done
    assert store.quarantine(OTHER, 1, 0, ENTRY, keep=KEEP)
    _fill(runtime, OTHER, 1, size - 1)
    store.expire_quarantined(OTHER, keep=0.0)
    ended = Record(State.ENDED, fence=1)
    return [
        timed(lambda n=n: store.swap(RunKey("bench.run", f"ended-{n}"), 0, ended, keep=KEEP))  # type: ignore[misc]
        for n in range(steps + 50)
    ]


def _fill(runtime: Runtime, run: RunKey, first: int, last: int) -> None:
    engine = create_engine(runtime.app.conf.graceful_store)
    engine = engine.execution_options(unwatched=True)
    insert = text(
        "INSERT INTO graceful_quarantined_items (namespace, task, id, ordinal, entry)"
        f" SELECT :ns, :task, :id, n, :entry FROM {NUMBERS[engine.dialect.name]}"
    )
    given = {"ns": runtime.namespace, "task": run.task, "id": run.id, "entry": ENTRY.encode()}
    with engine.begin() as connection:
        connection.execute(insert, {**given, "first": first, "last": last})
    engine.dispose()


@contextmanager
def _commands(client: Redis) -> Iterator[Slowest]:
    client.config_set("slowlog-log-slower-than", 1000)
    client.config_set("slowlog-max-len", 100000)

    def slowest() -> tuple[float, str]:
        entries: Any = client.slowlog_get(100000)
        return max((entry["duration"] / 1000 for entry in entries), default=1.0), ""

    yield slowest


@contextmanager
def _statements() -> Iterator[Slowest]:
    """The slowest statement of a store, as its client sees it."""
    began, longest = [0.0], [(0.0, "")]

    def before(*_: object) -> None:
        began[0] = time.perf_counter()

    def after(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if not connection.get_execution_options().get("unwatched"):
            took = (time.perf_counter() - began[0]) * 1000
            longest[0] = max(longest[0], (took, " ".join(statement.split())[:60]))

    event.listen(Engine, "before_cursor_execute", before)
    event.listen(Engine, "after_cursor_execute", after)
    try:
        yield lambda: longest[0]
    finally:
        event.remove(Engine, "before_cursor_execute", before)
        event.remove(Engine, "after_cursor_execute", after)

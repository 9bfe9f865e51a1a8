"""Atomic runs against plain loops with the same work and a commit per batch, in one process."""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from celery import Celery
from sqlalchemy import Column, Engine, Integer, MetaData, Table, create_engine, event, insert
from sqlalchemy.orm import sessionmaker

from benchmarks.figures import Figure, ratio_at_least
from benchmarks.inside import carry, inside_a_worker
from celery_graceful import Atomic, IterableTask
from tests.servers import MissingProgram, Postgres

__all__ = ["measure"]

BOUND = 0.8
ITEMS = 4000
BATCHES = (10, 100)
ROUNDS, QUICK_ROUNDS = 20, 3

_metadata = MetaData()
_done = Table("done", _metadata, Column("id", Integer, primary_key=True), Column("n", Integer))

Loop = Callable[[], object]


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure interleaved pairs on each database."""
    figures: list[Figure] = []
    with inside_a_worker() as app, ExitStack() as stack:
        for url in _databases(stack):
            for batch in BATCHES:
                figures += _measure(app, url, batch, QUICK_ROUNDS if quick else ROUNDS)
    return figures


def _databases(stack: ExitStack) -> Iterator[str]:
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    yield f"sqlite:///{Path(folder, 'shop.db')}"
    try:
        server = stack.enter_context(Postgres())
    except MissingProgram as missing:
        print(f"  without PostgreSQL: {missing}", file=sys.stderr)
        return
    yield server.fresh_url()


def _measure(app: Celery, url: str, batch: int, rounds: int) -> Iterator[Figure]:
    engine = _engine(url)
    ours, plain = _loops(app, engine, batch)
    for loop in (ours, plain):
        loop()
    pairs = []
    for number in range(rounds):
        pair = [(plain, _spent(plain)), (ours, _spent(ours))] if number % 2 else []
        pair = pair or [(ours, _spent(ours)), (plain, _spent(plain))]
        spent = dict(pair)
        pairs.append((spent[ours], spent[plain]))
    engine.dispose()
    us = [1e6 * median(side) / ITEMS for side in zip(*pairs, strict=True)]
    yield ratio_at_least(
        "atomic",
        f"speed on {engine.dialect.name}, {batch} items a batch",
        [plain / ours for ours, plain in pairs],
        BOUND,
        note=f"{us[0]:.1f} µs against {us[1]:.1f} µs per item",
    )


def _engine(url: str) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _write_ahead)
    _metadata.create_all(engine)
    return engine


def _write_ahead(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL").close()
    connection.execute("PRAGMA synchronous=NORMAL").close()


def _loops(app: Celery, engine: Engine, batch: int) -> tuple[Loop, Loop]:
    """The atomic run, and the loop of a plain task that commits every ``batch`` items."""
    make_session = sessionmaker(engine)

    class Atomically(IterableTask):
        name = f"benchmarks.atomic_{engine.dialect.name}_{batch}"
        atomic = Atomic.sqlalchemy(make_session, every=batch)

        def build_enumerator(self, n: int, *, cursor: Any) -> Iterator[tuple[int, int]]:
            for number in range(0 if cursor is None else cursor + 1, n):
                yield number, number

        def each_iteration(self, number: int, n: int) -> None:
            self.transaction.session.execute(insert(_done), {"n": number})

    def plain() -> None:
        with make_session() as session:
            for number in range(ITEMS):
                session.execute(insert(_done), {"n": number})
                if number % batch == batch - 1:
                    session.commit()
            session.commit()

    task = app.register_task(Atomically())
    return lambda: carry(task, (ITEMS,), {}, ITEMS), plain


def _spent(loop: Loop) -> float:
    gc.collect()
    began = time.perf_counter()
    loop()
    return time.perf_counter() - began

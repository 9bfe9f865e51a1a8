"""Atomic runs against plain loops with the same work and a commit per batch, in one process."""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from celery import Celery
from django.db import transaction
from django.db.backends.signals import connection_created
from sqlalchemy import Column, Engine, Integer, MetaData, Table, create_engine, event, insert
from sqlalchemy.orm import sessionmaker

from benchmarks.figures import Figure, ratio_at_least
from benchmarks.inside import carry, inside_a_worker
from celery_graceful import Atomic, IterableTask
from tests.harness.django_aliases import alias_for
from tests.servers import MissingProgram, Postgres

BOUND = 0.8
ITEMS = 5000
#: Items a batch; the bound is for the default, the other shows what a commit's mark costs.
DEFAULT, SMALL = 100, 10
ROUNDS, QUICK_ROUNDS = 20, 3

_metadata = MetaData()
_done = Table("done", _metadata, Column("id", Integer, primary_key=True), Column("n", Integer))

Loop = Callable[[], object]


class Spent(NamedTuple):
    """Seconds of one loop: by the clock, and of this process's processor time."""

    clock: float
    processor: float


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure interleaved pairs on each database."""
    figures: list[Figure] = []
    with inside_a_worker() as app, ExitStack() as stack:
        for url in _databases(stack):
            engine = stack.enter_context(_engine(url))
            alias = stack.enter_context(alias_for(url))
            for batch in (DEFAULT, SMALL):
                for orm, loops in {
                    "SQLAlchemy": _loops(app, engine, batch),
                    "Django": _loops_of_django(app, alias, batch),
                }.items():
                    what = f"{orm}'s speed on {engine.dialect.name}, {batch} items a batch"
                    bound = BOUND if batch == DEFAULT else None
                    figures.append(_measure(what, *loops, bound, QUICK_ROUNDS if quick else ROUNDS))
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


def _measure(what: str, ours: Loop, plain: Loop, bound: float | None, rounds: int) -> Figure:
    for loop in (ours, plain):
        loop()
    spent: dict[Loop, list[Spent]] = {ours: [], plain: []}
    for number in range(rounds):
        for loop in (ours, plain) if number % 2 else (plain, ours):
            spent[loop].append(_spent(loop))
    pairs = list(zip(spent[plain], spent[ours], strict=True))
    here = median(p.processor / o.processor for p, o in pairs)
    us = [1e6 * median(s.clock for s in spent[loop]) / ITEMS for loop in (ours, plain)]
    return ratio_at_least(
        "atomic",
        what,
        [p.clock / o.clock for p, o in pairs],
        bound,
        note=f"{us[0]:.0f} µs against {us[1]:.0f} µs per item; {here:.2f} × in processor time",
    )


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _write_ahead)
        connection_created.connect(_write_ahead_by_django)
    _metadata.create_all(engine)
    yield engine
    engine.dispose()


def _write_ahead(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL").close()
    connection.execute("PRAGMA synchronous=NORMAL").close()


def _write_ahead_by_django(connection: Any, **_: object) -> None:
    if connection.vendor == "sqlite":
        _write_ahead(connection.connection, None)


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


def _loops_of_django(app: Celery, alias: str, batch: int) -> tuple[Loop, Loop]:
    """The same two with Django's ORM."""
    from benchmarks.django_rows import Done

    class Atomically(IterableTask):
        name = f"benchmarks.atomic_{alias}_{batch}"
        atomic = Atomic.django(using=alias, every=batch)

        def build_enumerator(self, n: int, *, cursor: Any) -> Iterator[tuple[int, int]]:
            for number in range(0 if cursor is None else cursor + 1, n):
                yield number, number

        def each_iteration(self, number: int, n: int) -> None:
            Done(n=number).save(using=alias, force_insert=True)

    def plain() -> None:
        for first in range(0, ITEMS, batch):
            with transaction.atomic(using=alias):
                for number in range(first, first + batch):
                    Done(n=number).save(using=alias, force_insert=True)

    task = app.register_task(Atomically())
    return lambda: carry(task, (ITEMS,), {}, ITEMS), plain


def _spent(loop: Loop) -> Spent:
    gc.collect()
    clock, processor = time.perf_counter(), time.process_time()
    loop()
    return Spent(time.perf_counter() - clock, time.process_time() - processor)

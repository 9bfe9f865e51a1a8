"""Sources over a large table: a whole pass against a plain one, a start in the middle, memory."""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from sqlalchemy import Engine, Index, create_engine, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.figures import Figure, ratio_at_most
from celery_graceful import sources
from tests.harness.worker import ROOT
from tests.servers import MissingProgram, Postgres

ROWS, QUICK_ROWS = 1_000_000, 50_000
#: Rows per query on both sides.
CHUNK = 1000
ROUNDS, RESUMES = 3, 30
#: A whole pass, the first item at 90 % against that at 0, and MiB that the peak may grow.
PASS_BOUND, RESUME_BOUND, MEMORY_BOUND = 1.15, 1.5, 4.0


class Base(DeclarativeBase):
    pass


class Sale(Base):
    __tablename__ = "sales"
    __table_args__ = (Index("sales_by_shop", "shop", "id"),)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    shop: Mapped[int]
    buyer: Mapped[str]
    cents: Mapped[int]
    note: Mapped[str | None]


class Pass(NamedTuple):
    """A pass with a source, and the plain one that it is held against."""

    what: str
    ours: Callable[..., Iterator[Any]]
    plain: Callable[[], Iterator[Any]]
    #: What the source may cost; ``None``: a figure for comparison.
    bound: float | None = PASS_BOUND


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure on each kind of database."""
    rows = QUICK_ROWS if quick else ROWS
    figures: list[Figure] = []
    with ExitStack() as stack:
        for url in databases(stack):
            engine = create_engine(url)
            fill(engine, rows)
            for case in passes(engine):
                figures += _of_case(case, engine.dialect.name, rows, quick)
            figures.append(_memory(url, engine.dialect.name, rows))
            engine.dispose()
            figures += _of_django(stack, url, engine.dialect.name, rows, quick)
    return figures


def _of_case(case: Pass, database: str, rows: int, quick: bool) -> list[Figure]:
    where = f"{case.what} on {database}"
    rounds = 2 if quick else ROUNDS
    return [_whole(case, where, rows, rounds), _resumed(case, where, rows)]


def _of_django(stack: ExitStack, url: str, database: str, rows: int, quick: bool) -> list[Figure]:
    figures: list[Figure] = []
    for case in _django_passes(stack, url):
        figures += _of_case(case, database, rows, quick)
    return [*figures, _memory(url, database, rows, case="queryset")]


def _django_passes(stack: ExitStack, url: str) -> list[Pass]:
    from benchmarks import querysets  # configures Django
    from tests.harness.django_aliases import alias_for

    return querysets.passes(stack.enter_context(alias_for(url)))


def databases(stack: ExitStack) -> Iterator[str]:
    """SQLite, and PostgreSQL where it is installed."""
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    yield f"sqlite:///{Path(folder, 'sales.db')}"
    try:
        server = stack.enter_context(Postgres())
    except MissingProgram as missing:
        print(f"  without PostgreSQL: {missing}", file=sys.stderr)
        return
    yield server.fresh_url()


def fill(engine: Engine, rows: int) -> None:
    """Make the table with so many rows."""
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        for first in range(0, rows, 20_000):
            numbers = range(first, min(first + 20_000, rows))
            connection.execute(insert(Sale), [_sale(number) for number in numbers])
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE sales")


def _sale(number: int) -> dict[str, Any]:
    buyer, cents = f"buyer-{number % 5000}@example.com", number % 9973
    return {"id": number, "shop": number * 7919 % 1000, "buyer": buyer, "cents": cents}


def passes(engine: Engine) -> list[Pass]:
    """What ``sources.select`` is measured with."""
    table = Sale.__table__

    def objects(**options: Any) -> Iterator[Any]:
        return iter(sources.select(select(Sale), engine, batch=CHUNK, **options))

    def plain_objects() -> Iterator[Any]:
        with Session(engine) as session:
            stmt = select(Sale).order_by(Sale.id).execution_options(yield_per=CHUNK)
            yield from session.scalars(stmt)

    def rows(**options: Any) -> Iterator[Any]:
        return iter(sources.select(select(table), engine, batch=CHUNK, **options))

    def plain_rows() -> Iterator[Any]:
        with engine.connect().execution_options(yield_per=CHUNK) as connection:
            yield from connection.execute(select(table).order_by(table.c.id))

    def by_shop(**options: Any) -> Iterator[Any]:
        stmt = select(Sale)
        return iter(sources.select(stmt, engine, order_by="shop", batch=CHUNK, **options))

    def plain_by_shop() -> Iterator[Any]:
        with Session(engine) as session:
            stmt = select(Sale).order_by(Sale.shop, Sale.id)
            yield from session.scalars(stmt.execution_options(yield_per=CHUNK))

    return [
        Pass("select, objects", objects, plain_objects),
        Pass("select, objects by shop", by_shop, plain_by_shop),
        # A row of plain values costs so little that the queries of the pages are seen.
        Pass("select, rows", rows, plain_rows, bound=None),
    ]


# -- a whole pass ----------------------------------------------------------------------------


class Spent(NamedTuple):
    """Seconds of one pass: by the clock, and of this process's processor time."""

    clock: float
    processor: float


def _whole(case: Pass, where: str, rows: int, rounds: int) -> Figure:
    spent: dict[str, list[Spent]] = {"ours": [], "plain": []}
    for number in range(-1, rounds):
        for side in ("ours", "plain") if number % 2 else ("plain", "ours"):
            # Once over a part, to have everything compiled and cached.
            taken = _consumed(getattr(case, side), rows if number >= 0 else 5 * CHUNK)
            spent[side].append(taken)
    pairs = list(zip(spent["ours"][1:], spent["plain"][1:], strict=True))
    ours, plain = (1e9 * median(pair[side].clock for pair in pairs) / rows for side in (0, 1))
    processor = median(a.processor / b.processor for a, b in pairs)
    return ratio_at_most(
        "keyset",
        f"{where}: a whole pass against a plain one",
        [a.clock / b.clock for a, b in pairs],
        case.bound,
        note=f"{ours:,.0f} against {plain:,.0f} ns a row; {processor:.2f} × in processor time",
    )


def _consumed(side: Callable[[], Iterator[Any]], rows: int) -> Spent:
    gc.collect()
    clock, processor = time.perf_counter(), time.process_time()
    for _ in islice(side(), rows):
        pass
    return Spent(time.perf_counter() - clock, time.process_time() - processor)


# -- the first item --------------------------------------------------------------------------


def _resumed(case: Pass, where: str, rows: int) -> Figure:
    _, late = next(islice(case.ours(), int(rows * 0.9) - 1, None))
    early: list[float] = []
    resumed: list[float] = []
    for _ in range(RESUMES):
        early.append(_first(case, None))
        resumed.append(_first(case, late))
    return ratio_at_most(
        "keyset",
        f"{where}: the first item at 90 % against that at 0",
        [a / b for a, b in zip(resumed, early, strict=True)],
        RESUME_BOUND,
        note=f"{1e3 * median(resumed):.2f} against {1e3 * median(early):.2f} ms",
    )


def _first(case: Pass, cursor: Any) -> float:
    gc.collect()
    began = time.perf_counter()
    next(case.ours(cursor=cursor))
    return time.perf_counter() - began


# -- memory ----------------------------------------------------------------------------------


def _memory(url: str, name: str, rows: int, case: str = "select") -> Figure:
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.keyset", case, url, str(rows)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    before, after = json.loads(child.stdout)
    return Figure(
        "keyset",
        f"{case}, objects on {name}: peak after {rows:,} rows above that after {rows // 10:,}",
        after - before,
        after - before,
        MEMORY_BOUND,
        unit="MiB",
        note=f"{before:.1f} to {after:.1f} MiB",
    )


def _child(case: str, url: str, rows: int) -> list[float]:
    """Peaks of this process's resident memory after a tenth and after all, in MiB."""
    with ExitStack() as stack:
        if case == "queryset":
            source = _django_passes(stack, url)[0].ours()
        else:
            source = passes(create_engine(url))[0].ours()
        peaks = []
        for part in (rows // 10, rows):
            for _ in islice(source, part):
                pass
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return peaks


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1], sys.argv[2], int(sys.argv[3]))))

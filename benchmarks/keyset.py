"""Sources over a large table: a whole pass against a plain one, a start in the middle, memory."""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from sqlalchemy import create_engine

from benchmarks.figures import Figure, as_line, ratio_at_most
from tests.harness.worker import ROOT
from tests.servers import MariaDB, MissingProgram, Postgres

ROWS, QUICK_ROWS = 1_000_000, 50_000
#: Rows per query on both sides.
CHUNK = 1000
ROUNDS, RESUMES = 3, 30
#: Seconds for the rounds of one pass: on a busy machine it has fewer, for an end within minutes.
PATIENCE = 20.0
#: How often the two sides of a pass take turns, so that a busy machine slows both.
TURNS = 20
#: A whole pass, the first item at 90 % against that at 0, and MiB that the peak may grow.
PASS_BOUND, RESUME_BOUND, MEMORY_BOUND = 1.15, 1.5, 4.0
#: MariaDB's driver in pure Python takes several times as long: asked for by its name.
DATABASES, BY_DEFAULT = ("sqlite", "postgresql", "mariadb"), ("sqlite", "postgresql")


class Pass(NamedTuple):
    """A pass with a source, and the plain one that it is held against."""

    what: str
    ours: Callable[..., Iterator[Any]]
    plain: Callable[[], Generator[Any, None, None]]
    #: What the source may cost; ``None``: a figure for comparison.
    bound: float | None = PASS_BOUND
    #: Of the table: where a row takes long, and no side reads all in advance, a part says as much.
    part: float = 1.0
    #: Ordered by shop and id, else by id.
    by_shop: bool = False

    def at_90_percent(self, rows: int) -> Any:
        """A cursor there."""
        return ["shop,id", 899, rows] if self.by_shop else rows * 9 // 10 - 1


def measure(*, quick: bool = False, only: str | None = None) -> list[Figure]:
    """Measure on each kind of database, or on one; each figure is printed as it is there."""
    rows = QUICK_ROWS if quick else ROWS
    figures: list[Figure] = []
    with ExitStack() as stack:
        for kind in (only,) if only else BY_DEFAULT:
            for figure in _of_database(stack, kind, rows, quick):
                print(f"  {as_line(figure)}", file=sys.stderr, flush=True)
                figures.append(figure)
    return figures


def _of_database(stack: ExitStack, kind: str, rows: int, quick: bool) -> Iterator[Figure]:
    from benchmarks import selects

    try:
        url = _database(stack, kind)
    except MissingProgram as missing:
        print(f"  without {kind}: {missing}", file=sys.stderr)
        return
    engine = create_engine(url)
    selects.fill(engine, rows)
    for case in selects.passes(engine):
        yield from _of_case(case, kind, rows, quick)
    engine.dispose()
    yield _memory(url, kind, rows)
    for case in _django_passes(stack, url):
        yield from _of_case(case, kind, rows, quick)
    yield _memory(url, kind, rows, case="queryset")


def _of_case(case: Pass, database: str, rows: int, quick: bool) -> Iterator[Figure]:
    where = f"{case.what} on {database}"
    part = int(rows * case.part)
    _in_turns(case, 5 * CHUNK)  # have everything compiled and cached
    began, pairs = time.monotonic(), [_in_turns(case, part)]
    while len(pairs) < (2 if quick else ROUNDS) and time.monotonic() - began < PATIENCE:
        pairs.append(_in_turns(case, part))
    yield _whole(pairs, case.bound, where, part)
    yield _resumed(case, case.at_90_percent(rows), where)


def _django_passes(stack: ExitStack, url: str) -> list[Pass]:
    from benchmarks import querysets  # configures Django
    from tests.harness.django_aliases import alias_for

    return querysets.passes(stack.enter_context(alias_for(url)))


def _database(stack: ExitStack, kind: str) -> str:
    if kind == "sqlite":
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        return f"sqlite:///{Path(folder, 'sales.db')}"
    server = stack.enter_context(Postgres() if kind == "postgresql" else MariaDB())
    assert isinstance(server, (Postgres, MariaDB))
    return stack.enter_context(server.database())


# -- a whole pass ----------------------------------------------------------------------------


class Spent(NamedTuple):
    """Seconds of one pass: by the clock, and of this process's processor time."""

    clock: float = 0.0
    processor: float = 0.0


def _in_turns(case: Pass, rows: int) -> tuple[Spent, Spent]:
    """What both passes took, ours first."""
    iterators, spent = (case.ours(), case.plain()), [Spent(), Spent()]
    gc.collect()
    for turn in range(TURNS):
        for side in (0, 1) if turn % 2 else (1, 0):
            clock, processor = time.perf_counter(), time.process_time()
            for _ in islice(iterators[side], rows // TURNS):
                pass
            clock, processor = time.perf_counter() - clock, time.process_time() - processor
            spent[side] = Spent(spent[side].clock + clock, spent[side].processor + processor)
    iterators[1].close()  # and its cursor at the server
    return spent[0], spent[1]


def _whole(pairs: list[tuple[Spent, Spent]], bound: float | None, where: str, rows: int) -> Figure:
    ours, plain = (1e9 * median(pair[side].clock for pair in pairs) / rows for side in (0, 1))
    processor = median(a.processor / b.processor for a, b in pairs)
    return ratio_at_most(
        "keyset",
        f"{where}: a pass over {rows:,} rows against a plain one",
        [a.clock / b.clock for a, b in pairs],
        bound,
        note=f"{ours:,.0f} against {plain:,.0f} ns a row; {processor:.2f} × in processor time",
    )


# -- the first item --------------------------------------------------------------------------


def _resumed(case: Pass, late: Any, where: str) -> Figure:
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
            from benchmarks import selects

            source = selects.passes(create_engine(url))[0].ours()
        peaks = []
        for part in (rows // 10, rows):
            for _ in islice(source, part):
                pass
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return peaks


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1], sys.argv[2], int(sys.argv[3]))))

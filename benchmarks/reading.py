"""Large files: a resume at 90 % against a start, and memory over a whole pass."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.figures import Figure, ratio_at_most
from benchmarks.memory import peak
from celery_graceful import sources
from tests.harness.worker import ROOT

SIZE, QUICK_SIZE = 1 << 30, 1 << 25
ROUNDS, QUICK_ROUNDS = 21, 5
BLOCK = 1 << 22
BOUND = 1.5
#: The most that the peak may grow from a tenth of the file to all of it, in MiB.
FLAT = {"csv": 8.0, "gzip": 48.0}
NAMES = {"csv": "rows.csv", "gzip": "rows.csv.gz"}


def measure(*, quick: bool = False) -> list[Figure]:
    """Make the files, measure, delete them."""
    size = QUICK_SIZE if quick else SIZE
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < 4 * size:
        raise SystemExit(f"benchmark reading: needs {4 * size >> 20} MiB of disk for a while")
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, write in (("csv", _write_csv), ("gzip", _write_gzip)):
            path = Path(folder, NAMES[kind])
            write(path, size)
            figures += _figures(kind, path, size, QUICK_ROUNDS if quick else ROUNDS)
            path.unlink()
    return figures


def _figures(kind: str, path: Path, size: int, rounds: int) -> list[Figure]:
    what = f"{size >> 20} MiB {kind}"
    figures = []
    middle = size // BLOCK * 9 // 10 * BLOCK  # where a block begins, and so a row
    figures.append(_memory(kind, what, path, size))  # before there is an index
    if kind == "gzip":
        cold = [_first(path, middle, _forget(path)) for _ in range(3)]
        figures.append(_seconds(f"{what}: first item at 90 %, no index", cold))
        began = time.perf_counter()
        sources.csv_count(path)  # reads all of it, and so makes the whole index
        took = [time.perf_counter() - began]
        figures.append(_seconds(f"{what}: csv_count", took))
    cursor = next(sources.csv_rows(path, cursor=middle))[1]
    starts: list[float] = []
    resumes: list[float] = []
    for _ in range(rounds):
        starts.append(_first(path, None))
        resumes.append(_first(path, cursor))
    return [
        *figures,
        _seconds(f"{what}: first item at 0", starts),
        _seconds(f"{what}: first item at 90 %", resumes),
        ratio_at_most(
            "reading",
            f"{what}: 90 % to 0",
            [resume / start for resume, start in zip(resumes, starts, strict=True)],
            BOUND if size == SIZE else None,  # of a small file, opening is all
            note="time to the first item" + (", with index" if kind == "gzip" else ""),
        ),
    ]


def _first(path: Path, cursor: Any, before: Callable[[], None] | None = None) -> float:
    if before is not None:
        before()
    began = time.perf_counter()
    rows = sources.csv_rows(path, cursor=cursor)
    next(rows)
    took = time.perf_counter() - began
    rows.close()  # type: ignore[attr-defined]
    return took


def _forget(path: Path) -> Callable[[], None]:
    return lambda: path.with_name(path.name + ".gzidx").unlink(missing_ok=True)


def _memory(kind: str, what: str, path: Path, size: int) -> Figure:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.reading", str(path), str(size)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    early, late = json.loads(done.stdout)
    grown = late - early
    note = f"peak {late:.0f} MiB"
    return Figure(
        "reading", f"{what}: memory grown", grown, grown, FLAT[kind], unit="MiB", note=note
    )


def _pass(path: Path) -> None:
    """Read all rows; print the peak of memory after a tenth and at the end, in MiB."""
    rows = sources.lines(path)
    while next(rows)[1][0] < int(sys.argv[2]) // 10:
        pass
    early = peak()
    deque(rows, maxlen=0)
    print(json.dumps([early, peak()]))


def _seconds(what: str, times: list[float]) -> Figure:
    return Figure(
        "reading", what, median(times) * 1000, max(times) * 1000, unit="ms", rounds=len(times)
    )


def _block() -> bytes:
    chance, size = random.Random(17), 0
    rows: list[str] = []
    while size < BLOCK:
        row = f"{len(rows)},{chance.randbytes(8).hex()},some text,{chance.random():.4f}\n"
        rows.append(row)
        size += len(row)
    text = "".join(rows).encode()[: BLOCK - 1]
    return text[: text.rindex(b"\n") + 1].ljust(BLOCK - 1, b"x") + b"\n"


def _write_csv(path: Path, size: int) -> None:
    block = _block()
    with path.open("wb") as file:
        for _ in range(size // BLOCK):
            file.write(block)


def _write_gzip(path: Path, size: int) -> None:
    """One member: the same compressed block again and again."""
    block = _block()
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = deflate.compress(block) + deflate.flush(zlib.Z_FULL_FLUSH)
    crc = 0
    with path.open("wb") as file:
        file.write(gzip.compress(b"")[:10])
        for _ in range(size // BLOCK):
            file.write(packed)
            crc = zlib.crc32(block, crc)
        file.write(b"\x03\x00" + crc.to_bytes(4, "little"))
        file.write((size // BLOCK * BLOCK % 2**32).to_bytes(4, "little"))


if __name__ == "__main__":
    _pass(Path(sys.argv[1]))

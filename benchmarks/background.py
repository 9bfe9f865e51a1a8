"""What the guardian of a background process costs at its start, and at its end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

from benchmarks.figures import Figure
from celery_graceful import background_process

ROUNDS, QUICK_ROUNDS = 200, 20
#: The most that the median start may take beyond that of ``subprocess.Popen``, in milliseconds.
BOUND = 15.0
_ARGV = ["sleep", "60"]


def measure(*, quick: bool = False) -> list[Figure]:
    """Start and end a process in both ways, in turns."""
    with_popen: list[tuple[float, float]] = []
    with_guardian: list[tuple[float, float]] = []
    bare: list[float] = []
    _guarded()  # what the first one imports
    for _ in range(QUICK_ROUNDS if quick else ROUNDS):
        with_popen.append(_popen())
        with_guardian.append(_guarded())
        bare.append(_bare())
    figures = [_figure("start: a Python that does nothing, to its end", bare)]
    for at, (what, bound) in enumerate([("start", BOUND), ("end", None)]):
        theirs = [times[at] for times in with_popen]
        ours = [times[at] for times in with_guardian]
        figures += [
            _figure(f"{what}: subprocess.Popen", theirs),
            _figure(f"{what}: background_process", ours),
            _more(what, ours, theirs, bound),
        ]
    return figures


def _popen() -> tuple[float, float]:
    began = time.perf_counter()
    process = subprocess.Popen(_ARGV)
    return _timed(began, lambda: _ended(process))


def _ended(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    return process.wait()


def _bare() -> float:
    """What is in any guardian's start, in milliseconds."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-S", "-X", "utf8", "-c", "pass"], check=True)
    return (time.perf_counter() - began) * 1000


def _guarded() -> tuple[float, float]:
    began = time.perf_counter()
    process = background_process(_ARGV)
    return _timed(began, process.stop)


def _timed(began: float, end: Callable[[], object]) -> tuple[float, float]:
    started = time.perf_counter()
    end()
    return (started - began) * 1000, (time.perf_counter() - started) * 1000


def _figure(what: str, times: list[float]) -> Figure:
    return Figure("background", what, median(times), max(times), unit="ms", rounds=len(times))


def _more(what: str, ours: list[float], theirs: list[float], bound: float | None) -> Figure:
    pairs = [our - their for our, their in zip(ours, theirs, strict=True)]
    return Figure(
        "background",
        f"{what}: more than subprocess.Popen",
        median(pairs),
        max(pairs),
        bound,
        unit="ms",
        rounds=len(pairs),
    )

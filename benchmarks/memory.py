"""Memory over ten million items: it has to stay flat."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from tests.harness.worker import ROOT

FEW, MANY, QUICK_MANY = 100_000, 10_000_000, 1_000_000
#: The most that the peak may grow, in MiB.
BOUND = 4.0
STYLES = {"generator": "numbers", "class": "each"}


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure each style in a process of its own."""
    many = QUICK_MANY if quick else MANY
    return [_figure(style, many) for style in STYLES]


def _figure(style: str, many: int) -> Figure:
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", style, str(many)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    before, after = json.loads(child.stdout)
    return Figure(
        "memory",
        f"{style}: peak after {many:,} items above that after {FEW:,}",
        after - before,
        after - before,
        BOUND,
        unit="MiB",
        note=f"{before:.1f} to {after:.1f} MiB; the ratio is {after / before:.3f}",
    )


def _child(style: str, many: int) -> list[float]:
    """Peaks of this process's resident memory after few and after many items, in MiB."""
    from benchmarks.inside import carry, inside_a_worker
    from benchmarks.loops import register

    peaks = []
    with inside_a_worker() as app:
        task: Any = register(app)[STYLES[style]]
        for items in (FEW, many):
            carry(task, (items,), {}, items)
            peaks.append(peak())
    return peaks


def peak() -> float:
    # Linux hands the parent's peak on in ru_maxrss, which would hide any growth below it; the
    # kernel's own mark begins anew with each program.
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (at for at in status.read_text().splitlines() if at.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1], int(sys.argv[2]))))

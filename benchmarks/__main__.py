"""The command: which benchmarks, how thorough, in which form."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time

from benchmarks.figures import Figure, as_json, as_table

NAMES = (
    "items",
    "throughput",
    "short",
    "memory",
    "writes",
    "stop",
    "atomic",
    "scan",
    "quarantine",
    "connections",
    "gate",
    "pause",
    "leaks",
    "background",
)


def main() -> int:
    """Measure and print; returns 1 when a bound was missed in a full measurement."""
    options = _options()
    figures: list[Figure] = []
    for name in options.names or NAMES:
        began = time.monotonic()
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        found = importlib.import_module(f"benchmarks.{name}").measure(quick=options.quick)
        figures += found
        print(f"  took {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(as_json(figures) if options.json else as_table(figures))
    _tell_load()
    missed = any(figure.verdict == "MISSED" for figure in figures)
    return int(missed and not options.quick)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what the plugin costs. Exit code 1: a bound was missed.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="few rounds, never exit code 1")
    parser.add_argument("--json", action="store_true", help="figures as JSON on stdout")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return options


def _tell_load() -> None:
    load, cores = os.getloadavg()[0], os.cpu_count()
    print(
        f"load average {load:.1f} on {cores} cores; figures need a quiet machine", file=sys.stderr
    )


if __name__ == "__main__":
    sys.exit(main())

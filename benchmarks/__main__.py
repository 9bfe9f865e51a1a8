"""The command: which benchmarks, how thorough, in which form."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time

from benchmarks.figures import Figure, as_json, as_table
from benchmarks.keyset import DATABASES
from benchmarks.stores import KINDS

NAMES = (
    "items",
    "throughput",
    "short",
    "memory",
    "writes",
    "stop",
    "atomic",
    "scan",
    "reading",
    "quarantine",
    "connections",
    "gate",
    "pause",
    "outage",
    "leaks",
    "background",
    "keyset",
    "screen",
)
#: Those that measure one kind of store after the other.
OF_STORES = ("scan", "quarantine", "screen")


def main() -> int:
    """Measure and print; returns 1 when a bound was missed in a full measurement."""
    options = _options()
    figures: list[Figure] = []
    for asked in options.names or NAMES:
        name, _, store = asked.partition(":")
        began = time.monotonic()
        print(f"measuring {asked} …", file=sys.stderr, flush=True)
        more = {"only": store} if store else {}
        found = importlib.import_module(f"benchmarks.{name}").measure(quick=options.quick, **more)
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
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(NAMES)}; {', '.join(OF_STORES)} also of one store: scan:redis;"
        f" keyset of {', '.join(DATABASES)}: keyset:mariadb",
    )
    parser.add_argument("--quick", action="store_true", help="few rounds, never exit code 1")
    parser.add_argument("--json", action="store_true", help="figures as JSON on stdout")
    options = parser.parse_args()
    of_one = {f"{name}:{kind.lower()}" for name in OF_STORES for kind in KINDS}
    of_one |= {f"keyset:{database}" for database in DATABASES}
    unknown = sorted(set(options.names) - set(NAMES) - of_one)
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

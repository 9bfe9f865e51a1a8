"""Compare the outcomes of Celery's own integration tests with the plugin and without."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.celery_suite.cells import Cell, compare
from tests.celery_suite.report import details, table
from tests.celery_suite.sessions import BROKERS
from tests.celery_suite.sources import FILES, fetch, version_of

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run it; returns 1 where the plugin changes an outcome, or where nothing is proved."""
    given = _arguments()
    cells: list[Cell] = []
    for python in given.python:
        version = version_of(python)
        tree = fetch(version, given.cache)
        for broker in given.broker or BROKERS:
            folder = given.cache / f"{version}-{broker}"
            print(f"Celery {version} on {broker}; logs in {folder}", flush=True)
            cell = compare(
                version,
                broker,
                python=python,
                tree=tree,
                folder=folder,
                tests=given.tests or FILES,
                repeats=given.repeats,
                longest=given.longest,
                tell=lambda text: print(f"  {text}", flush=True),
            )
            cells.append(cell)
            print(*details(cell), sep="\n", flush=True)
    print("", *table(cells), sep="\n")
    return int(not all(cell.is_good for cell in cells))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.celery_suite", description=__doc__)
    parser.add_argument("tests", nargs="*", help=f"files or ids; {', '.join(FILES)} if left out")
    parser.add_argument(
        "--python",
        action="append",
        type=lambda path: Path(path).absolute(),  # not resolved: an environment's is a link
        help="of an environment with a Celery release and this package; repeatable",
    )
    parser.add_argument("--broker", action="append", choices=BROKERS, help="both if left out")
    parser.add_argument("--repeats", type=int, default=10, help="of a test that differs; 10")
    parser.add_argument(
        "--longest", type=float, default=300, help="seconds until a test is cut off; 300"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=ROOT / ".tox" / "celery-suite",
        help="the folder of fetched tests, records and logs",
    )
    given = parser.parse_args()
    given.python = given.python or [Path(sys.executable)]
    return given


if __name__ == "__main__":
    sys.exit(main())

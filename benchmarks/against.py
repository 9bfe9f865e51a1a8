"""One benchmark against itself at another commit: both by turns, so that a slow hour hits both.

    python -m benchmarks.against HEAD~3 short --rounds 4

Each figure is printed for both, with its ratio to that of the other commit, round by round.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parents[1]
#: A figure of one round: its median, by what it measures.
Found = Mapping[str, float]


def main() -> None:
    """Measure and print."""
    options = _options()
    with TemporaryDirectory() as folder:
        other = Path(folder) / "other"
        _git("worktree", "add", "--quiet", "--detach", str(other), options.commit)
        try:
            rounds = [_round(number, other, options.name) for number in range(options.rounds)]
        finally:
            _git("worktree", "remove", "--force", str(other))
    print(f"{'':<44}{options.commit:>12}{'here':>12}{'here / there':>16}{'worst':>8}")
    for what in rounds[0][1]:
        there, here = ([each[side][what] for each in rounds] for side in (0, 1))
        ratios = [mine / theirs for theirs, mine in zip(there, here, strict=True) if theirs]
        shown = f"{median(ratios):>16.3f}{min(ratios):>8.3f}" if ratios else ""
        print(f"{what:<44}{median(there):>12.3f}{median(here):>12.3f}{shown}")


def _round(number: int, other: Path, name: str) -> tuple[Found, Found]:
    """The figures there and here; who begins, changes."""
    found: dict[Path, Found] = {}
    for tree in (other, HERE) if number % 2 else (HERE, other):
        found[tree] = _measured(tree, name)
    return found[other], found[HERE]


def _measured(tree: Path, name: str) -> Found:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks", name, "--quick", "--json"],
        cwd=tree,
        # Workers find the package of this tree, and not that which is installed.
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    if not ran.stdout:
        raise SystemExit(f"{tree}: {name} has measured nothing:\n{ran.stderr}")
    return {each["what"]: float(each["median"]) for each in json.loads(ran.stdout)}


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=HERE, check=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("commit", help="what to measure against")
    parser.add_argument("name", help="a benchmark, as of `python -m benchmarks`")
    parser.add_argument("--rounds", type=int, default=3, help="of both; 3 by default")
    return parser.parse_args()


if __name__ == "__main__":
    main()

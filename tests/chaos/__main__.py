"""Chaos on real workers: random faults, and a verdict on what became of every item."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.chaos.evidence import Evidence
from tests.chaos.plan import KINDS, plan
from tests.chaos.report import summary
from tests.chaos.servers import Servers
from tests.chaos.stage import FLUSH, LEASE, open_stage
from tests.chaos.verdict import judge

BROKERS = ("redis", "rabbitmq")
ORMS = ("sqlalchemy", "django")


def main() -> int:
    """Run it; returns the exit code: 0 passed, 1 failed."""
    given = _arguments()
    if given.judge is not None:
        return _tell(Evidence.load(given.judge))
    folder = given.folder or Path(tempfile.mkdtemp(prefix="chaos-"))
    failed = 0
    for broker in [given.broker] if given.broker else BROKERS:
        print(f"chaos on {broker}: --seed {given.seed}, logs in {folder / broker}", flush=True)
        began = time.monotonic()
        failed |= _tell(_play(broker, given, folder / broker))
        print(f"took {time.monotonic() - began:.0f} s\n", flush=True)
    return failed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=200, help="faults for each broker")
    parser.add_argument(
        "--seed",
        type=int,
        default=int(time.time()) % 100_000,
        help="makes faults, targets and runs the same again",
    )
    parser.add_argument("--broker", choices=BROKERS, help="both, one after the other, if left out")
    parser.add_argument(
        "--atomic", choices=ORMS, default="sqlalchemy", help="what atomic runs write with"
    )
    parser.add_argument("--only", action="append", choices=KINDS, default=[], help="repeatable")
    parser.add_argument("--folder", type=Path, help="a new folder for logs and evidence")
    parser.add_argument("--judge", type=Path, help="judge the evidence in this folder once more")
    return parser.parse_args()


def _play(broker: str, given: argparse.Namespace, folder: Path) -> Evidence:
    folder.mkdir(parents=True)
    planned = plan(given.seed, given.faults, LEASE, given.only)
    stage_of = partial(open_stage, seed=given.seed, folder=folder, atomic=given.atomic)
    with Servers(broker) as servers, stage_of(servers) as stage:
        try:
            stage.play(planned)
        finally:
            evidence = stage.evidence()
            evidence.save(folder)
    return evidence


def _tell(evidence: Evidence) -> int:
    verdict = judge(evidence, lease=LEASE, flush=FLUSH)
    for line in summary(evidence, verdict):
        print(line, flush=True)
    return 1 if verdict.failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""A short chaos run; the long one is ``make chaos``.

The brokers share a round of the plan, which has every kind of fault; what strikes brokers strikes
both.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.plan import Planned, plan
from tests.chaos.report import summary
from tests.chaos.servers import Servers
from tests.chaos.stage import FLUSH, LEASE, VISIBILITY, open_stage
from tests.chaos.verdict import judge
from tests.servers.fixtures import made_or_skipped

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(400)]

SEED = int(os.environ.get("GRACEFUL_CHAOS_SEED", "1"))
ROUND = 20
BROKERS = ("redis", "rabbitmq")
#: Of a handful of recoveries the slowest is what counts; on Redis a message that nobody rescues
#: comes back after ``VISIBILITY``, which is longer.
SPARE = VISIBILITY - LEASE - 1.0


def share(broker: str) -> list[Planned]:
    faults = plan(SEED, ROUND, LEASE)
    mine = BROKERS.index(broker)
    return [f for f in faults if f.number % len(BROKERS) == mine or "broker" in f.kind]


RABBITMQ = pytest.param("rabbitmq", marks=[pytest.mark.rabbitmq, pytest.mark.matrix])


@pytest.mark.parametrize("broker", ["redis", RABBITMQ])
def test_nothing_is_lost_whatever_happens(broker: str, tmp_path: Path) -> None:
    servers = made_or_skipped(lambda: Servers(broker))
    with servers, open_stage(servers, SEED, tmp_path) as stage:
        stage.play(share(broker))
        evidence = stage.evidence()
    verdict = judge(evidence, lease=LEASE, flush=FLUSH, spare=SPARE)
    print("\n".join(summary(evidence, verdict)))
    assert not verdict.failures
    assert len(evidence.faults) == len(share(broker))

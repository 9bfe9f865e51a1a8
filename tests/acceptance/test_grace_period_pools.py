"""The other pools cannot end a task without harm: they give its message back, and leave."""

from __future__ import annotations

import pytest

from tests.acceptance.deploys import LONG, PATIENT, Deploy, Held
from tests.acceptance.runs import Stage
from tests.harness.trees import Pod

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("pool", ["threads", "gevent"])
def test_a_pool_in_one_process(redis_stage: Stage, redis_held: Held, pool: str) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    deploy = Deploy(redis_stage, redis_held, Pod, **PATIENT)
    deploy.start(pool=pool)
    deploy.send("sleeps", LONG)
    deploy.send("early", LONG)
    deploy.wait_all_begun()
    deploy.let_second_in()

    stopping = deploy.first.stop()
    deploy.wait_nothing_held(stopping)
    assert stopping.wait().ended is not None
    deploy.check_given_back("sleeps")
    deploy.check_lost("early", str(LONG))


@pytest.mark.parametrize(
    "kind", [pytest.param("sleeps", marks=pytest.mark.matrix), "computes", "early"]
)
def test_solo(redis_stage: Stage, redis_held: Held, kind: str) -> None:
    deploy = Deploy(redis_stage, redis_held, Pod, **PATIENT)
    deploy.start(pool="solo", concurrency=1)
    deploy.send(kind, LONG)
    deploy.wait_all_begun()
    deploy.let_second_in()

    stopping = deploy.first.stop()
    deploy.wait_nothing_held(stopping)
    assert stopping.wait().ended is not None
    if kind == "early":
        deploy.check_lost("early", str(LONG))
    else:
        deploy.check_given_back(kind)
    assert deploy.noted(f"{kind} leaves first")

"""Runs whose message nobody takes, and runs that overtake a backlog."""

from __future__ import annotations

from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest

from tests.acceptance.runs import STYLES, Run, Stage
from tests.selection import rows

pytestmark = pytest.mark.slow

LACKING = "tests.acceptance.apps.crashing"
SETTINGS = {"graceful_lease_ttl": 2, "graceful_rescue_interval": 0.2}


def handed_over(stage: Stage) -> Run:
    """A run whose worker is gone and whose message waits."""
    worker = stage.worker("first").wait_ready()
    run = stage.start(STYLES[1], 300, 0.05)
    run.wait_items(20)
    worker.signal(SIGTERM)
    assert worker.wait() == 0
    return run


@pytest.mark.brokers("redis", "rabbitmq")
def test_a_worker_that_lacks_the_task_leaves_the_run_alone(stage: Stage, tmp_path: Path) -> None:
    stage.settings.update(SETTINGS, graceful_namespace="shared")
    run = handed_over(stage)
    lacking = stage.worker("lacking", app=LACKING, env={"LEDGER": str(tmp_path / "none")})
    lacking.wait_ready()
    lacking.wait_log(rf"items\.class\[{run.id}\] is a run whose task this worker does not know")
    assert not run.result.failed()
    lacking.wait_log(rf"Rescued items\.class\[{run.id}\] \(not_admitted\)", 20)
    lacking.signal(SIGTERM)
    assert lacking.wait() == 0
    assert not run.result.failed()
    stage.worker("second").wait_ready()
    run.hurry()
    run.check_result()
    run.check_exact()


def test_a_message_of_another_task_fails_as_ever(redis_stage: Stage, tmp_path: Path) -> None:
    redis_stage.settings.update(SETTINGS)
    redis_stage.worker("any").wait_ready()
    result = redis_stage.send("no.such.task")
    with pytest.raises(Exception, match=r"no\.such\.task"):
        result.get(timeout=20)
    assert result.state == "FAILURE"


@pytest.mark.parametrize(
    ("broker_url", "how"),
    rows([("redis", SIGKILL), ("rabbitmq", SIGTERM)], [("redis", SIGTERM), ("rabbitmq", SIGKILL)]),
    indirect=["broker_url"],
)
def test_a_resumed_run_goes_ahead_of_the_backlog(stage: Stage, tmp_path: Path, how: int) -> None:
    stage.settings.update(SETTINGS, graceful_resume_queue="resumed")
    worker = stage.worker("first", "-Q", "celery,resumed", concurrency=1).wait_ready()
    run = stage.start(STYLES[0], 200, 0.02)
    run.wait_items(20)
    backlog = [stage.start(STYLES[1], 20, 0.1) for _ in range(12)]
    worker.signal(how)
    worker.wait()
    stage.worker("second", "-Q", "celery,resumed", concurrency=1).wait_ready()
    run.wait_items(200, 90)
    ended = run.ledger.times()[-1]
    waited = [one for one in backlog if not one.ledger.times() or one.ledger.times()[0] > ended]
    assert len(waited) >= 6, "it did not wait behind them"
    run.check_result()
    for one in backlog:
        one.hurry()
        one.check_result()

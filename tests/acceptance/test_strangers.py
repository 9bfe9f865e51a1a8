"""Messages with headers of ours that somebody else has written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from celery_graceful._celery.message.headers import CHECKPOINT, GENERATION
from celery_graceful.errors import CursorError
from tests.acceptance.runs import STYLES, Stage

pytestmark = pytest.mark.slow

ITEMS = 20

#: Read as no generation at all: the run starts.
NO_GENERATION = [
    "x",
    "",
    -1,
    "-3",
    10**30,
    "9" * 5000,
    1.5,
    True,
    None,
    [1],
    {"a": 1},
    float("inf"),
]
NO_CHECKPOINT = ["{", "", 5, True, [1], {"a": 1}, "null", json.dumps({"cursor": 1})]


def test_no_header_harms_the_worker(redis_stage: Stage) -> None:
    stage = redis_stage
    worker = stage.worker("only").wait_ready()
    for value in NO_GENERATION:
        run = stage.start(STYLES[0], ITEMS, 0.0, headers={GENERATION: value})
        run.check_result(20)
        run.check_exact()
    for value in NO_CHECKPOINT:
        refused = stage.start(STYLES[1], ITEMS, 0.0, headers={CHECKPOINT: value})
        with pytest.raises(CursorError, match="the saved checkpoint cannot be read"):
            refused.result.get(timeout=20)
        assert refused.ledger.items() == []
    assert worker.exit_code is None
    assert worker.log().count(" received") == len(NO_GENERATION) + len(NO_CHECKPOINT)
    assert "Unrecoverable error" not in worker.log()


@pytest.mark.parametrize("value", ["x", 10**30, -5])
def test_no_header_takes_a_run_from_its_runner(redis_stage: Stage, value: Any) -> None:
    stage = redis_stage
    worker = stage.worker("only").wait_ready()
    run = stage.start(STYLES[0], 300, 0.05)
    run.wait_items(1)
    headers = {GENERATION: value, CHECKPOINT: "{"}
    stage.send(STYLES[0], str(run.ledger.path), 300, 0.05, task_id=run.id, headers=headers)
    worker.wait_log(rf"\[{run.id}\] dropped a duplicate message", 20)
    run.hurry()
    run.check_result()
    run.check_exact()

"""A run whose source finds no item for a long time stops at once, and continues where it was."""

from __future__ import annotations

import re
from signal import SIGTERM

import pytest

from tests.acceptance.runs import Stage

pytestmark = pytest.mark.slow

APP = "tests.acceptance.apps.searching"


def test_a_stop_within_a_stretch_without_items(redis_stage: Stage) -> None:
    stage = redis_stage
    first = stage.worker("first", app=APP).wait_ready()
    run = stage.start("searching.search", 10**12, 0)
    second = stage.waiting("second", app=APP)
    run.wait_items(1)
    second.wait_ready()
    stage.let_in(second)
    first.signal(SIGTERM)
    assert first.wait() == 0
    left = first.wait_log(
        rf"\[{run.id}\] at cursor (\d+) \(0 items done\) was interrupted: shutdown"
    )
    resumed = second.wait_log(rf"\[{run.id}\] resumes after cursor (\d+) \(0 items done")
    assert 0 < int(left[1]) == int(resumed[1])
    run.hurry()
    run.wait_items(3)
    assert run.ledger.items()[2] > int(left[1])
    second.signal(SIGTERM)
    assert second.wait() == 0
    assert not re.search("ERROR|Traceback", first.log() + second.log())

"""A worker that is the first process of its container: orphans become its children."""

from __future__ import annotations

from contextlib import suppress

import psutil
import pytest

from celery_graceful.processes.guardian.system import NAME
from tests.acceptance.runs import Stage
from tests.harness import wait_for
from tests.harness.containers import Container, why_no_namespace

pytestmark = pytest.mark.slow


def test_no_zombie_is_left_of_a_guardian_that_lost_its_owner(redis_stage: Stage) -> None:
    if reason := why_no_namespace():
        pytest.skip(reason)
    ledger = redis_stage.folder / "ledger"
    worker = redis_stage.worker(
        "first",
        kind=lambda app, **options: Container(app, grace=5.0, **options),
        app="tests.acceptance.apps.beside",
        env={"LEDGER": str(ledger), "TMPDIR": str(redis_stage.folder)},
    )
    assert isinstance(worker, Container)
    worker.wait_ready(timeout=60)
    first = psutil.Process(worker.first)
    for kind in ("well-behaved", "ignores-sigterm"):  # ends in no time, and after a second
        result = redis_stage.send("beside.hold", kind, kind, 20.0, time_limit=1)
        wait_for(result.ready, 20, kind)
        assert result.state == "FAILURE"
    wait_for(lambda: not guardians(first), 10, lambda: str(guardians(first)))
    worker.stop().wait()


def guardians(first: psutil.Process) -> list[psutil.Process]:
    """Those that are, or were, children of the first process."""
    found = []
    for one in first.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            if one.name() == NAME:
                found.append(one)
    return found

"""What Celery has forgotten and still runs: a worker that is paused must not hide it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance.closing import Closing, closing
from tests.acceptance.scene import Scene
from tests.harness import Ledger, Worker, wait_for
from tests.servers.proxy import proxy


def wait_in_force(upkeep: Closing, worker: Worker, version: int) -> None:
    """Wait until the worker has stopped consuming."""

    def in_force() -> bool:
        report = upkeep.reports()[worker.name]
        return report.version >= version and report.paused

    wait_for(in_force, 15, lambda: str(upkeep.reports()))


@pytest.mark.brokers("rabbitmq")
def test_a_task_that_runs_through_a_lost_connection_is_told(
    broker_url: str, redis_url: str, ledger: Ledger, start_worker: Callable[..., Worker]
) -> None:
    port = urlsplit(broker_url).port
    assert port is not None
    with proxy(port) as between:
        broker = broker_url.replace(f":{port}/", f":{between.port}/")
        scene = Scene("upkeep", broker, redis_url, ledger, start_worker)
        with closing(scene) as upkeep:
            worker = scene.worker()
            sent = upkeep.send("long", "first", 60)
            upkeep.wait_noted("long:first")
            between.drop()
            worker.wait_log(r"(?s)Connection to broker lost.*Connected to", 40)
            wait_in_force(upkeep, worker, upkeep.down())
            assert sent.id in [busy.id for busy in upkeep.reports()[worker.name].busy]
            upkeep.send_note("hurry:first")
            upkeep.wait_noted("end:first")


def test_a_terminated_task_is_told_until_it_has_ended(
    broker_url: str, redis_url: str, ledger: Ledger, start_worker: Callable[..., Worker]
) -> None:
    scene = Scene("upkeep", broker_url, redis_url, ledger, start_worker)
    with closing(scene) as upkeep:
        worker = scene.worker()
        control: Any = upkeep.app.control
        sent = upkeep.send("tidy", "first")
        upkeep.wait_noted("tidy:first")
        control.revoke(sent.id, terminate=True)
        upkeep.wait_noted("tidying:first")
        version = upkeep.down()
        wait_in_force(upkeep, worker, version)
        assert [busy.id for busy in upkeep.reports()[worker.name].busy] == [sent.id]
        upkeep.send_note("hurry:first")
        upkeep.wait_noted("tidied:first")
        upkeep.wait_paused(worker, version=version)

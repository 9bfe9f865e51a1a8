"""A worker whose connection is gone, though nobody has told its event loop."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.acceptance.closing import closing
from tests.acceptance.scene import Scene, wait_listening
from tests.harness import Ledger, Worker


@pytest.mark.rabbitmq
def test_it_connects_anew(
    rabbitmq_url: str, redis_url: str, ledger: Ledger, start_worker: Callable[..., Worker]
) -> None:
    with closing(Scene("upkeep", rabbitmq_url, redis_url, ledger, start_worker)) as upkeep:
        worker = upkeep.scene.worker()
        wait_listening(upkeep.app, worker)
        upkeep.app.control.broadcast("close_quietly")
        worker.wait_log("Connection to broker lost", 40)
        assert upkeep.send("short", 1).get(timeout=20) == 1

"""PROGRESS of several runs: one connection, and the state of somebody else stays."""

from __future__ import annotations

import pytest
import redis
from celery.contrib.abortable import AbortableAsyncResult

from tests.acceptance.scene import Scene, StartWorker, recorded_states, signatures
from tests.harness import Ledger, wait_for

pytestmark = pytest.mark.slow

RUNS = 4


def opened(url: str) -> int:
    """How many connections the server has ever accepted."""
    with redis.Redis.from_url(url) as client:
        return int(client.info("stats")["total_connections_received"])


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent"])
def test_a_worker_opens_no_connection_for_progress_and_leaves_an_abort_alone(
    pool: str, redis_url: str, ledger: Ledger, start_worker: StartWorker
) -> None:
    scene = Scene("progress", redis_url, redis_url, ledger, start_worker)
    worker = scene.worker(concurrency=RUNS, pool=pool)
    with scene.producer() as app, recorded_states(redis_url) as states:
        make = signatures(app, "progress")
        results = [make("abortable", tag=f"run{n}").apply_async() for n in range(RUNS)]

        def written() -> int:
            return min(states.of(result.id).count("PROGRESS") for result in results)

        wait_for(lambda: written() >= 3, 90, "PROGRESS of all runs")
        before = opened(redis_url)
        wait_for(lambda: written() >= 15, 90, "more PROGRESS of all runs")
        # Of 48 writes and more; a worker's other threads may open one at their first use.
        assert opened(redis_url) - before <= 10
        for result in results:
            AbortableAsyncResult(result.id, app=app).abort()
        for n, result in enumerate(results):
            # ``get`` would take ABORTED for an answer.
            wait_for(lambda r=result: "SUCCESS" in states.of(r.id), 60, "the end")  # type: ignore[misc]
            assert result.get(timeout=5) == f"run{n}"
            seen = states.of(result.id)
            assert seen[seen.index("ABORTED") :] == ["ABORTED", "SUCCESS"]
    worker.signal()
    assert worker.wait() == 0

"""Maintenance and runs that travel ahead of a backlog, by a queue that is not their own."""

from __future__ import annotations

import time

from tests.acceptance.closing import Closing
from tests.harness import wait_for

QUEUES = ("-Q", "celery,reports,alerts,resumed")
TAGS = ("a", "b", "c")

#: Of the workers that the fixture ``upkeep`` makes.
SETTINGS = {
    "graceful_lease_ttl": 120,  # no rescue helps
    "graceful_resume_queue": "resumed",
    "graceful_maintenance_exempt_queues": ["alerts"],
}


def test_runs_of_a_held_queue_do_not_start_by_another(upkeep: Closing) -> None:
    first = upkeep.scene.worker(*QUEUES, concurrency=len(TAGS))
    walks = [upkeep.send("walk", tag, 120, 0.02, queue="reports") for tag in TAGS]
    upkeep.scene.wait_carried(first, TAGS)
    first.signal()
    first.wait()
    stopped_at = time.monotonic()
    second = upkeep.scene.worker(*QUEUES, concurrency=1)
    wait_for(lambda: upkeep.begun_after(stopped_at), 30, "that one goes on")

    words = ("down", "-Q", "reports", "--no-interrupt", "--wait", "--timeout", "40s")
    done = upkeep.graceful(*words)
    down_at = time.monotonic()
    assert done.returncode == 0, done.stderr + second.log()[-3000:]
    ready = [walk for walk in walks if walk.ready()]
    assert len(ready) < len(TAGS), "others had to wait for it"
    assert upkeep.send("short", "goes on").get(timeout=20) == "goes on"
    wait_for(lambda: time.monotonic() > down_at + 2, 20, "the time")
    assert upkeep.begun_after(down_at) == ["short:goes on"]

    assert upkeep.graceful("up").returncode == 0
    for tag, walk in zip(TAGS, walks, strict=True):
        assert walk.get(timeout=40) == 120
        assert upkeep.noted(f"{tag}:") == [f"{tag}:{n}" for n in range(120)]


def test_runs_of_exempt_queues_do_not_wait_in_a_held_one(upkeep: Closing) -> None:
    first = upkeep.scene.worker(*QUEUES)
    walk = upkeep.send("walk", "a", 100, 0.02, queue="alerts")
    upkeep.scene.wait_carried(first, ["a"])
    upkeep.down()
    first.signal()
    first.wait()
    upkeep.scene.worker(*QUEUES)
    assert walk.get(timeout=40) == 100
    assert upkeep.noted("a:") == [f"a:{n}" for n in range(100)]

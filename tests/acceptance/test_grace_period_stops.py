"""Before the cut: tasks that end in time, acks and heartbeats meanwhile, whatever asks to stop."""

from __future__ import annotations

import time
from signal import SIGQUIT, SIGTERM

import pytest

from tests.acceptance.conftest import Figure
from tests.acceptance.deploys import HANDED_BACK, LONG, PATIENT, Deploy, Held
from tests.acceptance.runs import Stage
from tests.harness import wait_for
from tests.harness.trees import Pod

pytestmark = pytest.mark.slow

#: A worker that idles may take this long to exit, in seconds. The aim is 2.5, which its pool's join
#: takes; a worker that waits for nothing waits until the cut, 24 s after the signal.
IDLE_EXIT = 12.0
#: As long may an answer take in the soft time, and what follows from its end.
SOON = 6.0
SOFT = 9.0
#: RabbitMQ gives a connection up when it is silent for two or three times that, before ``SOFT``.
HEARTBEAT = 2.0


def test_tasks_that_end_in_time_are_left_alone(
    redis_stage: Stage, redis_held: Held, figure: Figure
) -> None:
    deploy = Deploy(redis_stage, redis_held, Pod, grace=30)
    deploy.start()
    deploy.send("short", "short", 0.3, name="ends")
    deploy.send("slowest", "slowest", 1.5, name="ends")
    deploy.wait_all_begun()
    deploy.let_second_in()

    stopped = deploy.first.stop().wait()
    assert stopped.ended is not None
    idle = stopped.ended - deploy.at("slowest ends first")
    figure("exit after the slowest task", idle)
    for kind in ("short", "slowest"):
        assert deploy.tasks[kind].get(timeout=20) == "first"
        assert not deploy.noted(f"{kind} begins second")
    deploy.check_silent()
    assert deploy.held() == 0
    assert idle < IDLE_EXIT


@pytest.mark.brokers("rabbitmq")
def test_the_soft_time_is_not_frozen(stage: Stage, held: Held, figure: Figure) -> None:
    """With Celery alone the event loop sleeps: no acks, no heartbeats, and all of the time."""
    deploy = Deploy(stage, held, Pod, grace=30)
    soft = {"worker_soft_shutdown_timeout": SOFT, "broker_heartbeat": HEARTBEAT}
    deploy.start(env={"REMAP_SIGTERM": "SIGQUIT"}, settings=soft)
    deploy.send("run", 1500, 0.02)
    deploy.send("short", "short", 1.0, name="ends")
    deploy.send("sleeps", LONG)
    deploy.wait_all_begun()
    deploy.let_second_in()

    stopping = deploy.first.stop()
    deploy.wait_noted("short ends first", SOON)
    wait_for(lambda: held() == 1, SOON, "the ack of the task that has ended")
    figure("ack in the soft time", time.monotonic() - deploy.at("short ends first"))
    assert deploy.tasks["short"].get(timeout=SOON) == "first"
    assert time.monotonic() - deploy.at("short ends first") < SOON
    deploy.check_run(1500)
    cut = deploy.said(HANDED_BACK, "sleeps", "WARNING", timeout=SOFT + 10)
    assert SOFT - 2 < cut - stopping.asked < SOFT + SOON
    # A broker that had missed heartbeats would have delivered it long before.
    assert "was lost" not in deploy.first.log()
    deploy.check_given_back("sleeps")
    assert deploy.at("sleeps begins second") > cut - 0.5
    assert stopping.wait().ended is not None


def test_celery_control_shutdown(redis_stage: Stage, redis_held: Held) -> None:
    """Nobody kills after it, so that nothing is cut off; the time counts from a signal."""
    deploy = Deploy(redis_stage, redis_held, Pod, **PATIENT)
    deploy.start()
    deploy.send("short", "short", 6.0, name="ends")  # longer than until the cut
    deploy.send("sleeps", LONG)
    deploy.send("early", LONG)
    deploy.wait_all_begun()
    deploy.let_second_in()

    redis_stage.app.control.shutdown(destination=["first@localhost"])
    deploy.wait_noted("short ends first")
    deploy.check_silent()
    stopping = deploy.first.stop()
    deploy.wait_nothing_held(stopping)
    stopping.wait()
    assert deploy.tasks["short"].get(timeout=20) == "first"
    deploy.check_given_back("sleeps")
    deploy.check_lost("early", str(LONG))


def test_a_second_sigterm_waits_on_and_sigquit_cuts_at_once(
    redis_stage: Stage, redis_held: Held, figure: Figure
) -> None:
    deploy = Deploy(redis_stage, redis_held, Pod, grace=30)
    deploy.start()
    deploy.send("short", "short", 1.5, name="ends")
    deploy.send("sleeps", LONG)
    deploy.send("early", LONG)
    deploy.wait_all_begun()
    deploy.let_second_in()

    stopping = deploy.first.stop()
    deploy.first.wait_log("Warm shutdown")
    deploy.first.signal(SIGTERM)
    assert deploy.tasks["short"].get(timeout=10) == "first"
    wait_for(lambda: redis_held() == 1, 5, "the ack of the task that has ended")
    deploy.check_silent()
    quit_at = time.monotonic()
    deploy.first.signal(SIGQUIT)
    deploy.check_given_back("sleeps")
    deploy.check_lost("early", str(LONG))
    cut = deploy.said(HANDED_BACK, "sleeps", "WARNING") - quit_at
    figure("SIGQUIT to hand-over", cut)
    assert cut < 8
    stopped = stopping.wait()
    assert stopped.ended is not None
    assert stopped.ended - quit_at < IDLE_EXIT
    assert not deploy.noted("short begins second")
    assert redis_held() == 0

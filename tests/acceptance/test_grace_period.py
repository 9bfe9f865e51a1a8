"""A worker whose process tree is killed after a grace period: nothing vanishes.

Each worker has four tasks when it is asked to stop: a run, two late-acked ones, of which one sleeps
and one computes, and one whose message was acknowledged when it began.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import redis

from tests.acceptance.conftest import Figure, held_by
from tests.acceptance.deploys import LONG, PATIENT, Deploy, Held, MakeTree
from tests.acceptance.runs import Stage
from tests.harness.containers import Container, why_no_namespace
from tests.harness.supervised import Supervised
from tests.harness.trees import Group, Pod, Stopped, Stopping
from tests.selection import rows

ITEMS = 1500
MANAGERS: dict[str, MakeTree] = {
    "pod": Pod,
    "systemd": Group,
    "supervisord": Supervised,
    "supervisord-group": partial(Supervised, as_group=True),
    "docker": Container,
}
#: Who is not run for this long may miss the kill after five seconds.
STALL = 0.3

pytestmark = pytest.mark.slow


@pytest.fixture
def tree(request: pytest.FixtureRequest) -> MakeTree:
    """The manager that the test is run with."""
    made = MANAGERS[request.param]
    if request.param.startswith("supervisord"):
        pytest.importorskip("supervisor")
    if made is Container and (reason := why_no_namespace()):
        pytest.skip(reason)
    return made


def begin(deploy: Deploy) -> None:
    """Both workers are up, and the first one runs all four and has a fifth, which waits."""
    deploy.start()
    deploy.send("run", ITEMS, 0.02)
    deploy.send("sleeps", LONG)
    deploy.send("computes", LONG)
    deploy.send("early", LONG)
    deploy.wait_all_begun()
    waiting = deploy.send("waiting", "waiting", 0, name="ends")
    deploy.first.wait_log(rf"{waiting.id}\] received")
    deploy.let_second_in()


def finish(deploy: Deploy, stopping: Stopping, figure: Figure) -> Stopped:
    """At the kill nothing is held, all went on elsewhere, and the log tells of what did not."""
    deploy.wait_nothing_held(stopping)
    stopped = stopping.wait()
    figure("hand-over to begin elsewhere", deploy.check_given_back("sleeps", "computes"))
    deploy.check_lost("early", str(LONG))
    figure("run left to resumed elsewhere", deploy.check_run(ITEMS))
    for kind in ("sleeps", "computes", "early"):
        assert stopping.asked < deploy.at(f"{kind} leaves first") < stopping.kill_at
        assert not deploy.noted(f"{kind} ends first")
    for kind in ("sleeps", "computes"):
        assert deploy.at(f"{kind} leaves first") < deploy.at(f"{kind} begins second")
    # It went back at the request to stop, not at the cut.
    leave = [deploy.at(f"{kind} leaves first") for kind in ("sleeps", "computes", "early")]
    assert deploy.at("waiting begins second") < min(leave)
    return stopped


@pytest.mark.parametrize(
    ("broker_url", "tree"),
    rows(
        [
            ("rabbitmq", "pod"),
            ("redis", "systemd"),
            ("redis", "supervisord-group"),
            ("redis", "docker"),
        ],
        [
            ("redis", "pod"),
            *(("redis", "supervisord"), ("rabbitmq", "supervisord")),
            *(("rabbitmq", tree) for tree in ("systemd", "supervisord-group", "docker")),
        ],
    ),
    indirect=True,
)
def test_what_a_manager_would_have_killed_goes_on_elsewhere(
    stage: Stage, held: Held, tree: MakeTree, figure: Figure, request: pytest.FixtureRequest
) -> None:
    deploy = Deploy(stage, held, tree, **PATIENT)
    begin(deploy)
    stopped = finish(deploy, deploy.first.stop(), figure)
    if stopped.ended is not None:  # on a busy machine the kill may come first, to an empty worker
        figure(f"exit, {request.node.callspec.id}", stopped.ended - stopped.asked)


@pytest.mark.matrix  # as tight as it gets: for a machine that has nothing else to do
def test_a_grace_period_of_five_seconds(
    stage: Stage, held: Held, redis_url: str, tmp_path: Path, figure: Figure
) -> None:
    """There are two and a half between the cut and the kill: no time for a machine that stalls."""
    for attempt in range(3):
        stage.folder = tmp_path / f"attempt-{attempt}"
        stage.folder.mkdir()
        deploy = Deploy(stage, held, Pod, grace=5)
        begin(deploy)
        with stalls() as seconds:
            try:
                finish(deploy, deploy.first.stop(), figure)
                return
            except AssertionError:
                if attempt == 2 or max(seconds) < STALL:
                    raise
        figure("the machine stood still, tried again", max(seconds))
        deploy.first.reap()
        deploy.second.reap()
        stage.app.control.purge()
        with redis.Redis.from_url(redis_url) as client:
            client.flushdb()


@contextmanager
def stalls() -> Iterator[list[float]]:
    """For how long this process was not run when it should have been, each time, in seconds."""
    seconds, ended = [0.0], threading.Event()

    def look() -> None:
        before = time.monotonic()
        while not ended.wait(0.02):
            now = time.monotonic()
            seconds.append(now - before)
            before = now

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seconds
    finally:
        ended.set()
        thread.join()


@pytest.mark.matrix  # a figure: shorter ones are tested above
@pytest.mark.rabbitmq
def test_a_grace_period_of_half_a_minute(
    redis_url: str,
    rabbitmq_url: str,
    tmp_path: Path,
    figure: Figure,
    request: pytest.FixtureRequest,
) -> None:
    deploys = []
    with (
        Stage(redis_url, redis_url, tmp_path / "redis").open() as on_redis,
        Stage(rabbitmq_url, redis_url, tmp_path / "rabbitmq").open() as on_rabbitmq,
    ):
        for stage in (on_redis, on_rabbitmq):
            stage.folder.mkdir()
            stage.settings["graceful_namespace"] = stage.folder.name
            deploys.append(Deploy(stage, held_by(request, stage.broker), Pod, grace=30))
            begin(deploys[-1])
        under_way = [deploy.first.stop() for deploy in deploys]
        for deploy, stopping in zip(deploys, under_way, strict=True):
            stopped = finish(deploy, stopping, figure)
            assert stopped.ended is not None

"""A stage for each test, and its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.brokers import held_by_redis
from tests.acceptance.closing import Closing, closing
from tests.acceptance.cutting import Cut, cutting
from tests.acceptance.runs import Stage
from tests.acceptance.scene import Scene
from tests.harness import Ledger, Worker

Figure = Callable[[str, float], None]


@pytest.fixture
def stage(broker_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    """A stage on each kind of broker; store and results are on Redis."""
    with Stage(broker_url, redis_url, tmp_path).open() as stage:
        yield stage


@pytest.fixture
def upkeep(
    request: pytest.FixtureRequest,
    broker_url: str,
    redis_url: str,
    ledger: Ledger,
    start_worker: Callable[..., Worker],
) -> Iterator[Closing]:
    """The application for maintenance on each kind of broker, with the module's ``SETTINGS``."""
    scene = Scene("upkeep", broker_url, redis_url, ledger, start_worker)
    scene.settings = dict(request.module.SETTINGS)
    with closing(scene) as found:
        yield found


@pytest.fixture
def cut(
    broker_url: str, redis_url: str, ledger: Ledger, start_worker: Callable[..., Worker]
) -> Iterator[Cut]:
    """A worker that is cut off, on each kind of broker."""
    with cutting(broker_url, redis_url, ledger, start_worker) as found:
        yield found


@pytest.fixture
def cut_on_redis(
    redis_url: str, ledger: Ledger, start_worker: Callable[..., Worker]
) -> Iterator[Cut]:
    """The same, all on one Redis."""
    with cutting(redis_url, redis_url, ledger, start_worker) as found:
        yield found


@pytest.fixture
def redis_stage(redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    """A stage that is all on one Redis."""
    with Stage(redis_url, redis_url, tmp_path).open() as stage:
        yield stage


def held_by(request: pytest.FixtureRequest, url: str) -> Callable[[], int]:
    """A function that tells how many messages the broker has delivered without an answer."""
    if url.startswith("amqp"):
        return partial(request.getfixturevalue("rabbitmq_server").unacknowledged, url)
    return partial(held_by_redis, url)


@pytest.fixture
def held(request: pytest.FixtureRequest, broker_url: str) -> Callable[[], int]:
    """How many messages are delivered and not acknowledged, on the broker of ``stage``."""
    return held_by(request, broker_url)


@pytest.fixture
def redis_held(redis_url: str) -> Callable[[], int]:
    """The same for ``redis_stage``."""
    return partial(held_by_redis, redis_url)


@pytest.fixture
def figure(record_property: Callable[..., None]) -> Figure:
    """Keep a measured time: ``figure(what, seconds)``."""

    def keep(what: str, seconds: float) -> None:
        record_property(what, round(seconds, 3))

    return keep

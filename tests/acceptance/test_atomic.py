"""Atomic runs under SIGKILL, SIGTERM and SIGSTOP: every effect is in the database once."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM
from typing import Any

import pytest
from celery.result import AsyncResult
from sqlalchemy import Engine, create_engine, func, select

from tests.acceptance.apps.shop import effects, metadata
from tests.acceptance.runs import Stage
from tests.harness import Worker, wait_for
from tests.servers import Valkey

pytestmark = pytest.mark.slow

APPS = {"": "tests.acceptance.apps.shop", "django": "tests.acceptance.apps.django_shop"}
ITEMS, PAUSE = 1500, 0.002
#: How often something is killed while the runs are under way.
FAULTS, LEAST_FAULTS = 6, 3
SETTINGS = {"graceful_lease_ttl": 3.0, "graceful_max_crashes": 30}


class Shop:
    """The tasks' database, and workers on it."""

    def __init__(self, url: str, stage: Stage, orm: str = "") -> None:
        self.url = url
        self.app = APPS[orm]
        self.engine: Engine = create_engine(url)
        self.stage = stage
        self.workers = 0
        stage.settings.update(SETTINGS)
        metadata.create_all(self.engine)

    def worker(self) -> Worker:
        self.workers += 1
        return self.stage.worker(f"shop-{self.workers}", app=self.app, env={"SHOP_URL": self.url})

    def send_two(self) -> list[AsyncResult[Any]]:
        """Start a run of each style."""
        return [self.stage.send(f"shop.{name}", ITEMS, PAUSE) for name in ("by_number", "by_time")]

    def effects(self, run: str, kind: str = "item") -> Counter[int]:
        """How often each effect of a run is in the database."""
        wanted = (effects.c.run == run) & (effects.c.kind == kind)
        with self.engine.connect() as connection:
            return Counter(connection.execute(select(effects.c.item).where(wanted)).scalars())

    def total(self) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(effects)).scalar_one())

    def wait_more(self, more: int, of: Collection[Any] = ()) -> bool:
        """Wait until there are so many effects more than now; false if all runs ``of`` are done."""
        before = self.total()

        def done() -> bool:
            return bool(of) and all(result.ready() for result in of)

        wait_for(
            lambda: done() or self.total() >= before + more, 60, lambda: f"effects: {self.total()}"
        )
        return not done()

    def last_child(self) -> int:
        """The process that has noted the last effect."""
        newest = select(effects.c.pid).order_by(effects.c.number.desc()).limit(1)
        with self.engine.connect() as connection:
            return int(connection.execute(newest).scalar_one())

    def check(self, result: Any) -> None:
        """The run has its result, and each effect of it is there once."""
        value = result.get(timeout=120)
        assert value == {"id": result.id, "sum": sum(range(ITEMS))}
        assert self.effects(result.id) == dict.fromkeys(range(ITEMS), 1)
        assert self.effects(result.id, "start") == {0: 1}
        assert self.effects(result.id, "complete") == {0: 1}
        # A hook that waited for its commit is lost with its process, and never runs twice.
        assert set(self.effects(result.id, "hook").values()) <= {1}


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("django+postgres", marks=[pytest.mark.postgres, pytest.mark.matrix]),
    ]
)
def shop(request: pytest.FixtureRequest, redis_stage: Stage, tmp_path: Path) -> Iterator[Shop]:
    """A shop on each kind of database in turn."""
    url = f"sqlite:///{tmp_path}/shop.db"
    orm, _, kind = request.param.rpartition("+")
    if kind != "sqlite":
        url = request.getfixturevalue(f"{kind}_url")
    shop = Shop(url, redis_stage, orm)
    yield shop
    shop.engine.dispose()


@pytest.mark.timeout(400)
def test_killed_again_and_again(shop: Shop) -> None:
    worker, other = shop.worker().wait_ready(), shop.worker().wait_ready()
    sent = [*shop.send_two(), *shop.send_two()]
    chance = random.Random(1)
    for fault in range(FAULTS):
        more = chance.randint(20, 150)
        if not shop.wait_more(more, of=sent):
            if fault > LEAST_FAULTS:
                break
            sent += shop.send_two()
            shop.wait_more(more)
        kind = ("child", "worker", "stop")[fault % 3]
        if kind == "child":
            try:
                os.kill(shop.last_child(), SIGKILL)
            except ProcessLookupError:
                continue  # it was killed before
            continue
        if kind == "worker":
            worker.kill()
        else:
            worker.signal(SIGTERM)
        worker, other = other, shop.worker().wait_ready()
    assert fault >= LEAST_FAULTS
    for result in sent:
        shop.check(result)


@pytest.mark.parametrize(
    "shop",
    [
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.matrix),
    ],
    indirect=True,
)
def test_a_stalled_worker(shop: Shop) -> None:
    """It may hold a lock in the database: the next execution waits for it first."""
    worker = shop.worker().wait_ready()
    sent = shop.stage.send("shop.by_number", ITEMS, PAUSE)
    shop.wait_more(100)
    processes = [worker.pid, *worker.children()]
    for pid in processes:
        os.kill(pid, SIGSTOP)
    second = shop.worker().wait_ready()
    wait_for(lambda: sent.id in second.log(), 40, "the rescue")
    until = time.monotonic() + 20
    before = shop.total()
    # On SQLite the stalled worker may hold the only write lock there is.
    wait_for(
        lambda: (
            shop.total() > before + 50
            or "waits before its first item" in second.log()
            or time.monotonic() > until
        ),
        30,
    )
    for pid in processes:
        os.kill(pid, SIGCONT)
    shop.check(sent)
    worker.wait_log("this execution ends without a trace")


@pytest.mark.parametrize(
    "shop",
    [
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.matrix),
    ],
    indirect=True,
)
def test_the_store_stops(shop: Shop, own_valkey: Valkey) -> None:
    """The executions leave their slots at the checkpoint that the row has."""
    shop.stage.settings.update(
        graceful_store=own_valkey.url, graceful_checkpoint_interval=0.3, graceful_store_timeout=1.0
    )
    worker = shop.worker().wait_ready()
    sent = shop.send_two()
    shop.wait_more(100)
    own_valkey.freeze()
    for result in sent:
        # One of them may still wait for the other's lock before its first item.
        why = "waits for the store without a slot|waits before its first item"
        worker.wait_log(rf"\[{result.id}\]:? (.* )?({why})", 30)
    own_valkey.thaw()
    for result in sent:
        shop.check(result)

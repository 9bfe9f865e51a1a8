"""The gate in trouble: lost connections and stores, late and forced workers, no broadcast."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from kombu import Connection

from tests.acceptance.brokers import held_by_redis
from tests.acceptance.closing import Closing, closing
from tests.acceptance.scene import Scene
from tests.harness import Ledger, Worker, wait_for
from tests.servers.proxy import proxy
from tests.servers.valkey import Valkey

#: Of the workers that the fixture ``upkeep`` makes.
SETTINGS = {"worker_prefetch_multiplier": 4, "graceful_maintenance_poll": 1}


#: Over how many seconds work is resumed.
RAMP = 5.0


def pass_by(seconds: float) -> None:
    """Let time go by."""
    until = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() >= until, seconds + 5, "time")


def test_a_worker_that_starts_meanwhile_starts_nothing(upkeep: Closing) -> None:
    upkeep.down()
    sent = [upkeep.send("short", number) for number in range(20)]
    worker = upkeep.scene.worker()
    pass_by(1)
    assert upkeep.noted() == []
    worker.wait_log("this worker holds everything")
    upkeep.up()
    for result in sent:
        result.get(timeout=20)
    assert set(Counter(upkeep.noted()).values()) == {1}
    worker.wait_log("Maintenance is over")


def test_a_forced_worker_works_on(upkeep: Closing) -> None:
    worker = upkeep.scene.worker("--maintenance-force")
    assert "Started with --maintenance-force" in worker.log()
    walk = upkeep.send("walk", "walk", 100, 0.02)
    upkeep.wait_noted("walk:", 5)
    upkeep.down()
    assert upkeep.send("short", 1).get(timeout=20) == 1
    assert walk.get(timeout=20) == 100
    assert upkeep.reports()[worker.name].forced


def test_without_broadcast_it_is_learnt_by_polling(upkeep: Closing) -> None:
    worker = upkeep.scene.worker()
    upkeep.broadcast = False
    version = upkeep.down()
    upkeep.wait_paused(worker, version=version)
    result = upkeep.send("short", 1)
    upkeep.up()
    assert result.get(timeout=20) == 1


def test_it_ends_by_itself(upkeep: Closing) -> None:
    # Nobody asks the store meanwhile.
    upkeep.scene.settings.update(graceful_maintenance_poll=60, graceful_lease_ttl=90)
    worker = upkeep.scene.worker()
    began = time.monotonic()
    version = upkeep.down(seconds=4)
    upkeep.wait_paused(worker, version=version)
    result = upkeep.send("short", 1)
    assert result.get(timeout=40) == 1
    (entry,) = upkeep.scene.ledger.entries()
    assert 4 <= entry.at - began < 30  # nobody had asked for a minute


def test_inspect_and_ping_answer(upkeep: Closing) -> None:
    worker = upkeep.scene.worker()
    control: Any = upkeep.app.control
    seen: list[dict[str, Any]] = []
    version = upkeep.down(reason="a migration")
    upkeep.wait_paused(worker, version=version)
    node = f"{worker.name}@localhost"
    assert control.ping(destination=[node], timeout=5)[0][node] == {"ok": "pong"}
    inspect = control.inspect(destination=[node], timeout=5)
    seen.append(inspect._request("graceful")[node])
    assert seen[0]["namespace"] == "upkeep"
    assert (seen[0]["report"]["paused"], seen[0]["report"]["version"]) == (True, version)
    worker.wait_log("by test, a migration")


def test_on_solo_nothing_starts_after_the_current_task(upkeep: Closing) -> None:
    worker = upkeep.scene.worker(pool="solo")
    long = upkeep.send("long", "first", 30)
    upkeep.wait_noted("long:first")
    others = [upkeep.send("short", number) for number in range(8)]
    upkeep.down()
    pass_by(1)
    upkeep.send_note("hurry:first")
    assert long.get(timeout=20) == "first"
    pass_by(2)
    assert upkeep.noted("short:") == []
    upkeep.up()
    for result in others:
        result.get(timeout=20)
    assert set(Counter(upkeep.noted("short:")).values()) == {1}
    assert worker.exit_code is None


def test_a_ramp_takes_work_up_slowly(upkeep: Closing) -> None:
    version = upkeep.down()
    workers = [upkeep.scene.worker(concurrency=4) for _ in range(2)]
    upkeep.wait_paused(*workers, version=version)
    sent = [upkeep.send("short", number, 0.1) for number in range(240)]
    up_at = time.monotonic()
    upkeep.up(ramp=RAMP)
    for result in sent:
        result.get(timeout=60)
    assert set(Counter(upkeep.noted()).values()) == {1}
    starts = [entry.at - up_at for entry in upkeep.scene.ledger.entries()]
    # 8 slots, opened evenly over the ramp, from 2 on; each is taken for 0.1 s. A machine that
    # stalls has fewer at work at a time, never more.
    at_work = [(at, sum(1 for one in starts if at - 0.1 < one <= at)) for at in starts]
    assert [(at, many) for at, many in at_work if many > 8 * at / RAMP + 2] == []
    assert sum(1 for at in starts if at < RAMP / 4) <= 2 * 2 * 10 * RAMP / 8
    assert max(many for _, many in at_work) > 4, "in the end there are more"


def _all_at_the_broker(broker_url: str, messages: int) -> bool:
    """Whether none is on its way: in its sender's socket, or in the answer to a BRPOP.

    With its connection it would be lost, as with Celery alone.
    """
    with Connection(broker_url) as connection:
        channel: Any = connection.default_channel
        if broker_url.startswith("redis"):
            there = channel.client.llen("celery") + held_by_redis(broker_url)
        else:  # a worker in maintenance consumes none of them
            there = channel.queue_declare("celery", passive=True).message_count
    return bool(there == messages)


@pytest.mark.brokers("redis", "rabbitmq")
def test_a_lost_connection_opens_nothing(
    broker_url: str, redis_url: str, ledger: Ledger, start_worker: Callable[..., Worker]
) -> None:
    port = urlsplit(broker_url).port
    assert port is not None
    with proxy(port) as between:
        broker = broker_url.replace(f":{port}/", f":{between.port}/")
        scene = Scene("upkeep", broker, redis_url, ledger, start_worker)
        with closing(scene) as upkeep:
            worker = scene.worker()
            version = upkeep.down()
            upkeep.wait_paused(worker, version=version)
            sent = [upkeep.send("short", number) for number in range(10)]
            wait_for(lambda: _all_at_the_broker(broker_url, len(sent)), 20, "that all are there")
            between.drop()
            worker.wait_log(r"(?s)Connection to broker lost.*Connected to", 40)
            pass_by(2)
            assert upkeep.noted() == []
            upkeep.up()
            for result in sent:
                result.get(timeout=30)
            assert set(Counter(upkeep.noted()).values()) == {1}


@pytest.fixture
def apart(
    own_valkey: Valkey, redis_url: str, ledger: Ledger, start_worker: Callable[..., Worker]
) -> Iterator[Closing]:
    """Workers whose store can be stopped by itself."""
    scene = Scene("upkeep", redis_url, redis_url, ledger, start_worker)
    scene.settings = {
        "graceful_store": own_valkey.url,
        "graceful_lease_ttl": 9,
        "graceful_maintenance_poll": 1,
        "graceful_store_timeout": 1,
        "worker_prefetch_multiplier": 4,
    }
    with closing(scene, store=own_valkey.url) as found:
        yield found


def test_while_the_store_is_away_the_known_mode_stays_in_force(
    apart: Closing, own_valkey: Valkey
) -> None:
    apart.scene.settings["graceful_lease_ttl"] = 2
    worker = apart.scene.worker("-Q", "celery,reports")
    version = apart.down("queue reports")
    wait_for(lambda: apart.reports()[worker.name].version >= version, 10, "that it is in force")
    own_valkey.freeze()
    worker.wait_log(r"stays in force \(held: queue reports ", 40)
    held = apart.send("short", "reports", queue="reports")
    pass_by(5)  # more than two leases
    assert apart.send("short", "free").get(timeout=10) == "free"
    assert apart.noted() == ["short:free"]
    own_valkey.thaw()
    worker.wait_log("The store answers again", 20)
    apart.up()
    assert held.get(timeout=20) == "reports"


def test_one_that_pauses_without_a_store_does_so_after_a_lease(
    apart: Closing, own_valkey: Valkey
) -> None:
    apart.scene.settings["graceful_without_store"] = "pause"
    worker = apart.scene.worker()
    own_valkey.freeze()
    worker.wait_log("it consumes only exempt queues until the store answers", 40)
    late = apart.send("short", "late")
    pass_by(1)
    assert apart.noted() == []
    own_valkey.thaw()
    assert late.get(timeout=20) == "late"


def test_one_that_pauses_without_a_store_waits_for_it_at_its_start(
    apart: Closing, own_valkey: Valkey
) -> None:
    apart.scene.settings["graceful_without_store"] = "pause"
    own_valkey.freeze()
    result = apart.send("short", 1)
    worker = apart.scene.worker()
    worker.wait_log("Nothing is consumed until the maintenance mode could be read")
    pass_by(1)
    assert apart.noted() == []
    own_valkey.thaw()
    assert result.get(timeout=20) == 1

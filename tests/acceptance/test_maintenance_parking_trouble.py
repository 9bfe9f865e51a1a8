"""Tasks held by name whose parking queue is out of order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from kombu import Connection, Queue
from kombu.exceptions import OperationalError

from celery_graceful._celery.message.parking_queue import Lot
from celery_graceful.errors import PublishUncertain
from tests.acceptance.closing import closing
from tests.acceptance.scene import Scene
from tests.harness import Ledger, Worker, wait_for
from tests.servers.proxy import proxy

PARKED = "upkeep.graceful.parked"


@pytest.mark.rabbitmq
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_parking_queue_that_cannot_be_used_loses_nothing(
    pool: str,
    rabbitmq_url: str,
    redis_url: str,
    ledger: Ledger,
    start_worker: Callable[..., Worker],
) -> None:
    scene = Scene("upkeep", rabbitmq_url, redis_url, ledger, start_worker)
    scene.settings = {"worker_prefetch_multiplier": 4}
    with closing(scene) as upkeep:
        worker = scene.worker(pool=pool)
        sent = [upkeep.send("other", number, countdown=1000) for number in range(4)]
        worker.wait_log(sent[-1].id)
        with Connection(rabbitmq_url) as mine:
            Queue(PARKED, channel=mine.default_channel, exclusive=True).queue_declare()
            upkeep.down("task upkeep.other")
            worker.wait_log("could not be parked")
            assert upkeep.send("short", 1).get(timeout=20) == 1
        wait_for(
            lambda: upkeep.reports()[worker.name].parked == 4, 20, lambda: str(upkeep.reports())
        )
        assert worker.exit_code is None


@pytest.mark.rabbitmq
def test_a_message_whose_queue_is_gone_holds_up_no_other(
    rabbitmq_url: str, redis_url: str, ledger: Ledger, start_worker: Callable[..., Worker]
) -> None:
    scene = Scene("upkeep", rabbitmq_url, redis_url, ledger, start_worker)
    with closing(scene) as upkeep:
        with Connection(rabbitmq_url) as mine:
            Queue(PARKED, channel=mine.default_channel).queue_declare()
        upkeep.send("other", "lost", queue=PARKED, headers={"graceful_parked": ["", "gone"]})
        worker = scene.worker()
        version = upkeep.down("task upkeep.other")
        wait_for(
            lambda: upkeep.reports()[worker.name].version >= version, 20, "that it is in force"
        )
        sent = [upkeep.send("other", number) for number in range(4)]
        wait_for(
            lambda: upkeep.reports()[worker.name].parked == 4, 20, lambda: str(upkeep.reports())
        )
        upkeep.up()
        for result in sent:
            result.get(timeout=20)
        assert set(Counter(upkeep.noted()).values()) == {1}
        worker.wait_log("A parked message stays")
        with Connection(rabbitmq_url) as mine:
            assert Queue(PARKED, channel=mine.default_channel).get(no_ack=True) is not None


@pytest.mark.rabbitmq
def test_a_connection_lost_while_messages_go_back_is_one_to_try_again(
    rabbitmq_url: str, redis_url: str, ledger: Ledger, start_worker: Callable[..., Worker]
) -> None:
    port = urlsplit(rabbitmq_url).port
    assert port is not None
    with proxy(port) as between:
        broker = rabbitmq_url.replace(f":{port}/", f":{between.port}/")
        scene = Scene("upkeep", broker, redis_url, ledger, start_worker)
        with scene.producer() as app:
            lot = Lot(app, PARKED, broker, timeout=3)

            def drop(task: str) -> bool:
                between.drop()
                return False

            with Connection(rabbitmq_url) as mine:
                Queue(PARKED, channel=mine.default_channel).queue_declare()
            app.send_task("upkeep.other", (1,), queue=PARKED)
            with pytest.raises((OperationalError, PublishUncertain)):
                lot.empty(drop)

"""Maintenance of some queues or tasks only, on real workers."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
from kombu import Connection
from kombu.exceptions import ChannelError

from tests.acceptance.brokers import send_by_protocol_1
from tests.acceptance.closing import Closing
from tests.harness import wait_for

QUEUES = ("-Q", "celery,reports,alerts")


#: Of the workers that the fixture ``upkeep`` makes.
SETTINGS = {
    "worker_prefetch_multiplier": 4,
    "graceful_maintenance_exempt_queues": ["alerts"],
}


def once(upkeep: Closing, count: int) -> None:
    """Everything that was sent has run once."""
    wait_for(lambda: len(upkeep.noted()) >= count, 30, lambda: str(Counter(upkeep.noted())))
    assert set(Counter(upkeep.noted()).values()) == {1}
    assert len(upkeep.noted()) == count


def test_exempt_queues_go_on(upkeep: Closing) -> None:
    worker = upkeep.scene.worker(*QUEUES)
    version = upkeep.down()
    upkeep.wait_paused(worker, version=version)
    held = [upkeep.send("short", f"held-{n}") for n in range(10)]
    free = [upkeep.send("short", f"free-{n}", queue="alerts") for n in range(10)]
    for result in free:
        result.get(timeout=20)
    assert upkeep.noted("short:held") == []
    upkeep.up()
    for result in held:
        result.get(timeout=20)
    once(upkeep, 20)


def test_one_queue_is_held(upkeep: Closing) -> None:
    worker = upkeep.scene.worker(*QUEUES)
    reports = [upkeep.send("short", f"r{n}", 0.05, queue="reports") for n in range(40)]
    upkeep.wait_noted("short:r", 3)
    version = upkeep.down("queue reports")
    wait_for(lambda: upkeep.reports()[worker.name].version >= version, 10, "that it is in force")
    wait_for(lambda: not upkeep.reports()[worker.name].busy, 10, "that reports have ended")
    paused_at = time.monotonic()
    for number in range(20):
        upkeep.send("short", f"c{number}").get(timeout=20)
    assert upkeep.begun_after(paused_at, "short:r") == []
    upkeep.up("queue reports")
    for result in reports:
        result.get(timeout=20)
    once(upkeep, 60)


@pytest.mark.brokers("rabbitmq")
def test_queues_that_remote_control_adds_are_held_as_well(upkeep: Closing) -> None:
    worker = upkeep.scene.worker(*QUEUES)
    version = upkeep.down()
    upkeep.wait_paused(worker, version=version)
    control: Any = upkeep.app.control
    control.add_consumer("extra", destination=[f"{worker.name}@localhost"], reply=True)
    control.add_consumer("celery", destination=[f"{worker.name}@localhost"], reply=True)
    held = [upkeep.send("short", "extra", queue="extra"), upkeep.send("short", "common")]
    free = upkeep.send("short", "free", queue="alerts")
    free.get(timeout=20)
    assert upkeep.noted() == ["short:free"]
    control.cancel_consumer("reports", destination=[f"{worker.name}@localhost"], reply=True)
    gone = upkeep.send("short", "reports", queue="reports")
    upkeep.up()
    for result in held:
        result.get(timeout=20)
    once(upkeep, 3)
    control.add_consumer("reports", destination=[f"{worker.name}@localhost"], reply=True)
    gone.get(timeout=20)


@pytest.mark.brokers("redis", "rabbitmq")
def test_tasks_held_by_name_hold_up_no_others(upkeep: Closing) -> None:
    worker = upkeep.scene.worker(*QUEUES)
    version = upkeep.down("task upkeep.o*")
    wait_for(lambda: upkeep.reports()[worker.name].version >= version, 10, "that it is in force")
    sent = []
    for number in range(30):
        sent.append(upkeep.send("other", number))
        sent.append(upkeep.send("short", number))
    sent += [upkeep.send("other", f"late-{n}", countdown=1) for n in range(3)]
    elsewhere = send_by_protocol_1(upkeep.scene.broker, "upkeep.other", "of protocol 1")
    sent.append(upkeep.app.AsyncResult(elsewhere))
    for result in sent[1:60:2]:
        result.get(timeout=20)
    wait_for(lambda: upkeep.reports()[worker.name].parked == 34, 20, lambda: worker.log()[-3000:])
    assert upkeep.noted("other") == []
    assert waiting(upkeep, "celery") == 0

    upkeep.up()
    for result in sent:
        result.get(timeout=20)
    once(upkeep, 64)
    wait_for(lambda: not upkeep.mode().parked, 10, "that nothing is parked")


@pytest.mark.brokers("rabbitmq")
def test_tasks_come_back_from_the_parking_queue_of_a_worker_that_is_gone(upkeep: Closing) -> None:
    worker = upkeep.scene.worker(*QUEUES)
    version = upkeep.down("task upkeep.other")
    wait_for(lambda: upkeep.reports()[worker.name].version >= version, 10, "that it is in force")
    sent = [upkeep.send("other", number) for number in range(10)]
    wait_for(lambda: upkeep.reports()[worker.name].parked == 10, 20, lambda: worker.log()[-3000:])
    worker.signal()
    worker.wait()
    upkeep.up()
    upkeep.scene.worker(*QUEUES)
    for result in sent:
        result.get(timeout=20)
    once(upkeep, 10)


def waiting(upkeep: Closing, queue: str) -> int:
    """How many messages wait in a queue."""
    with Connection(upkeep.scene.broker) as connection:
        channel: Any = connection.default_channel
        try:
            return int(channel.queue_declare(queue, passive=True).message_count)
        except ChannelError:  # Redis keeps no empty lists
            return 0

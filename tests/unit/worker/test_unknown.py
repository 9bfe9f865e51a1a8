"""Messages of tasks that a worker does not know: those of runs are left to other workers."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

from celery_graceful._celery.consumer.run_hooks import leave_unknown_runs
from celery_graceful._celery.message.headers import GENERATION

ASKED = ("shop.walk", "seven")


class Consumer:
    """A worker's consumer, and what becomes of a message."""

    connection_errors: tuple[type[Exception], ...] = ()

    def __init__(self) -> None:
        self.failed: list[Any] = []
        self.acknowledged = 0
        self.asked: list[tuple[str, str, int, bool]] = []
        self.runs = True

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        self.failed.append(message)

    def is_run(self, *asked: Any) -> bool:
        self.asked.append(asked)
        return self.runs

    def gets(self, headers: dict[str, Any], body: Any, *, redelivered: bool = False) -> None:
        message = SimpleNamespace(
            headers=headers,
            body=body if isinstance(body, bytes) else json.dumps(body),
            content_type="application/json",
            content_encoding="utf-8",
            delivery_info={"redelivered": redelivered},
            ack_log_error=self._acknowledge,
        )
        self.on_unknown_task(None, message, KeyError("shop.walk"))

    def _acknowledge(self, *_: Any) -> None:
        self.acknowledged += 1


@pytest.fixture
def consumer() -> Consumer:
    consumer = Consumer()
    app = Celery("shop", broker="memory://", set_as_current=False)
    leave_unknown_runs(SimpleNamespace(consumer=consumer, app=app), consumer.is_run)
    return consumer


PROTOCOL_1 = {"task": ASKED[0], "id": ASKED[1], "args": [], "kwargs": {}}
PROTOCOL_2 = {"task": ASKED[0], "id": ASKED[1]}


@pytest.mark.parametrize(
    ("headers", "body"),
    [({}, PROTOCOL_1), (PROTOCOL_2, [[], {}, {}])],
    ids=["protocol 1", "protocol 2"],
)
def test_a_message_that_comes_again_may_be_of_a_run(
    consumer: Consumer, headers: dict[str, Any], body: Any
) -> None:
    consumer.gets(headers, body)
    assert (consumer.asked, len(consumer.failed)) == ([], 1), "a first delivery is of no run"
    consumer.gets(headers, body, redelivered=True)
    assert consumer.asked == [(*ASKED, 0, True)]
    assert (consumer.acknowledged, len(consumer.failed)) == (1, 1)
    consumer.runs = False
    consumer.gets(headers, body, redelivered=True)
    assert (consumer.acknowledged, len(consumer.failed)) == (1, 2)


@pytest.mark.parametrize("generation", [3, "3"])
def test_a_successor_is_of_a_run(consumer: Consumer, generation: Any) -> None:
    consumer.gets({**PROTOCOL_2, GENERATION: generation}, [[], {}, {}])
    assert consumer.asked == [(*ASKED, 3, False)]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"\xff"),
        ({}, [1]),
        ({}, {"task": ["shop.walk"], "id": {"a": 1}}),
        ({"task": ["shop.walk"], "id": 7}, []),
        ({"task": "shop.walk", "id": None, GENERATION: 3}, []),
    ],
)
def test_a_message_without_an_id_is_of_no_run(
    consumer: Consumer, headers: dict[str, Any], body: Any
) -> None:
    consumer.gets(headers, body, redelivered=True)
    assert (consumer.asked, len(consumer.failed)) == ([], 1)


@pytest.mark.parametrize("generation", [float("inf"), [1], 10**30, -1, "x"])
def test_a_generation_that_is_none_counts_as_the_first(consumer: Consumer, generation: Any) -> None:
    consumer.gets({**PROTOCOL_2, GENERATION: generation}, [[], {}, {}])
    assert consumer.asked == [(*ASKED, 0, False)]

"""The run that the commands are tried on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from celery import Celery
from click.testing import Result

from celery_graceful._celery.message.envelope import Envelope, pack
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import RunKey, State
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime

TASK, ID = "shop.import", "8f6f2c52"
RUN = RunKey(TASK, ID)

Run = Callable[..., Result]


def begin(runtime: Runtime, run: RunKey = RUN) -> None:
    """A worker takes the run up, and saves a checkpoint."""
    runtime.app.tasks[TASK].apply_async(("a.csv",), task_id=run.id)
    (message,) = queued(runtime.app)
    envelope = Envelope(
        body=message.body.encode() if isinstance(message.body, str) else message.body,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        headers=message.headers,
        properties={"correlation_id": run.id},
        exchange="",
        routing_key="celery",
        broker=runtime.broker,
    )
    admit = ev.Admit(generation=0, owner="w1/abc", envelope=pack(envelope), at=1.0)
    done = transition(runtime.store, run, admit, runtime.policy)
    assert done.record is not None
    saved = encode(Checkpoint(cursor=41, carry={"rows": 42}, steps=42, total=100))
    assert runtime.store.checkpoint(run, done.record.fence, saved, 42, due_in=30).accepted


def leave(runtime: Runtime, reason: str = "shutdown") -> None:
    """The worker hands the run over; its message is lost on the way."""
    record = runtime.store.load(RUN).record
    assert record is not None
    gone = ev.HandOver(record.fence, record.checkpoint, record.steps, reason)
    transition(runtime.store, RUN, gone, runtime.policy)


def state(runtime: Runtime) -> State | None:
    record = runtime.store.load(RUN).record
    return None if record is None else record.state


def queued(app: Celery) -> list[Any]:
    """The messages in the queue, which is empty afterwards."""
    with app.connection_for_write() as connection:
        channel: Any = connection.default_channel
        return list(iter(lambda: channel.basic_get("celery", no_ack=True), None))


def result_state(app: Celery) -> str:
    """What the result backend tells those who wait for the run."""
    return app.AsyncResult(ID).state


def data_of(text: str) -> dict[str, Any]:
    """What a command has printed with ``--json``."""
    data: dict[str, Any] = json.loads(text)
    assert data["schema"] == 1
    return data

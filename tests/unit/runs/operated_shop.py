"""An app in memory with a run that verbs are tried on."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from celery import Celery

from celery_graceful import Graceful, IterableTask
from celery_graceful._celery.message.envelope import Envelope, pack
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import Outcome, Record, RunKey
from celery_graceful.runs.api import Runs
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime, runtime_of

TASK = "shop.import"
WHEN = datetime(2026, 11, 30, 12)


class Shop:
    """Its app, its runs, and what workers do to them."""

    def __init__(self) -> None:
        self.app = Celery(
            "shop", broker="memory://", backend="cache+memory://", set_as_current=False
        )
        self.app.conf.update(graceful_store="memory://", graceful_namespace=uuid.uuid4().hex)
        self.runs: Runs = Graceful(self.app).runs

        @self.app.task(base=IterableTask, shared=False, name=TASK)
        def import_rows(path: str, *, cursor: Any = None) -> Iterator[Any]:
            yield 1

        @self.app.task(shared=False, name="shop.after")
        def after(result: Any) -> None:
            """Called when a run has ended."""

        self.queued()  # what other tests left: this broker is one for the process

    @property
    def runtime(self) -> Runtime:
        return runtime_of(self.app)

    def key(self, name: str) -> RunKey:
        return RunKey(TASK, name)

    def record(self, name: str) -> Record:
        record = self.runtime.store.load(self.key(name)).record
        assert record is not None
        return record

    def apply(self, name: str, event: ev.Event) -> None:
        transition(self.runtime.store, self.key(name), event, self.runtime.policy)

    def begin(self, name: str, *, cursor: Any = 41, **sent: Any) -> Record:
        """A worker takes the run up, and saves a checkpoint."""
        self.app.tasks[TASK].apply_async(("a.csv",), task_id=name, **sent)
        return self.admit(name, cursor=cursor)

    def admit(self, name: str, *, cursor: Any = 41) -> Record:
        """A worker admits the message in the queue, and saves a checkpoint."""
        (message,) = self.queued()
        headers = message.headers
        envelope = Envelope(
            body=message.body.encode() if isinstance(message.body, str) else message.body,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            headers=headers,
            properties={"correlation_id": name},
            exchange="",
            routing_key="celery",
            broker=self.runtime.broker,
        )
        generation = headers.get("graceful_generation", 0)
        admit = ev.Admit(generation, "w1/abc", envelope=pack(envelope), at=1.0, fresh_fence=7)
        self.apply(name, admit)
        fence = self.record(name).fence
        saved = encode(Checkpoint(cursor=cursor, carry={"rows": 42}, steps=42, total=100))
        store = self.runtime.store
        assert store.checkpoint(self.key(name), fence, saved, 42, due_in=30).accepted
        return self.record(name)

    def leave(self, name: str) -> None:
        """The worker hands the run over; its message is lost on the way."""
        record = self.record(name)
        self.apply(name, ev.HandOver(record.fence, record.checkpoint, record.steps, "shutdown"))

    def fail(self, name: str) -> None:
        """The run fails for good, and Celery stores that."""
        self.apply(name, ev.End(self.record(name).fence, Outcome.FAILED))
        self.app.backend.store_result(name, ValueError("a bad row"), "FAILURE")

    def seen(self, name: str) -> str:
        """What callers see."""
        return str(self.app.AsyncResult(name).state)

    def queued(self, queue: str = "celery") -> list[Any]:
        """The messages in a queue, which is empty afterwards."""
        with self.app.connection_for_write() as connection:
            channel: Any = connection.default_channel
            channel.queue_declare(queue)
            return list(iter(lambda: channel.basic_get(queue, no_ack=True), None))

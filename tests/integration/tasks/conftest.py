"""A project on a broker and a store, and a way to lose what a store answers."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from celery.app.task import Context
from kombu import Exchange, Queue

from celery_graceful import IterableTask
from celery_graceful._celery.consumer.request import RunRequest
from celery_graceful._celery.message.envelope import Envelope, capture, pack, unpack
from celery_graceful.errors import StoreUnavailable
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.stores.base import Store

#: Makes an app on a broker, with one task; keyword arguments are configuration.
MakeApp = Callable[..., Any]
TASK = "proj.work"


@pytest.fixture
def make_app() -> Iterator[MakeApp]:
    with ExitStack() as stack:

        def make(broker: str, store: str = "", **conf: Any) -> Any:
            app = stack.enter_context(Celery("proj", broker=broker, set_as_current=False))
            app.conf.update(
                {
                    "graceful_store": store or f"memory://{uuid4()}",
                    "graceful_release_timeout": 2,
                    "broker_connection_timeout": 2,
                    **conf,
                }
            )

            @app.task(base=IterableTask, name=TASK, shared=False)
            def work(*args: Any, cursor: Any = None, **kwargs: Any) -> Iterator[int]:
                yield 1

            app.finalize()
            stack.callback(lambda: runtime_of(app).store.close())
            return app

        yield make


@pytest.fixture(params=["memory", "redis"])
def runtime(request: pytest.FixtureRequest, make_app: MakeApp) -> Runtime:
    """A project's runtime, on each kind of store in turn; its broker is never reached."""
    store = "" if request.param == "memory" else request.getfixturevalue("redis_url")
    return runtime_of(make_app("memory://", store, graceful_lease_ttl=5))


def take(app: Any, queue: str = "celery") -> Any:
    """The next message of a queue, acknowledged; ``None`` when it is empty."""
    with app.connection_for_write() as connection:
        bound = app.amqp.queues.select_add(queue)(connection.default_channel)
        bound.declare()
        message = bound.get(accept=app.conf.accept_content)
        if message is not None:
            message.ack()
        return message


def declare(app: Any, queue: str, exchange: str, kind: str, binding: str) -> None:
    """Declare a queue as a worker of the app would, and make it known to the app."""
    declared = Queue(queue, Exchange(exchange, type=kind), routing_key=binding)
    app.amqp.queues.add(declared)
    with app.connection_for_write() as connection:
        declared(connection.default_channel).declare()


def as_seen_by_a_child(app: Any, message: Any) -> Context:
    """The task's request that a pool child would make of a message."""
    request = RunRequest(message, app=app, task=app.tasks[TASK], hostname="w@host")
    return Context(request._request_dict)


def envelope_of(app: Any, message: Any) -> Envelope:
    """What a run keeps of its message, through the store's text and back."""
    captured = capture(as_seen_by_a_child(app, message), runtime_of(app).broker)
    assert captured is not None
    return unpack(pack(captured))


class Faulty:
    """A store whose next writes are lost on the way there, or whose answers on the way back."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.lose_calls = self.lose_answers = 0
        self.writes = 0
        self.in_between: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def swap(self, *args: Any, **kwargs: Any) -> Any:
        return self._lossy(lambda: self.store.swap(*args, **kwargs))

    def checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        return self._lossy(lambda: self.store.checkpoint(*args, **kwargs))

    def _lossy(self, call: Callable[[], Any]) -> Any:
        if self.lose_calls:
            self.lose_calls -= 1
            raise StoreUnavailable("the call was lost")
        answer = call()
        done = getattr(answer, "done", getattr(answer, "accepted", False))
        self.writes += done
        if done and self.lose_answers:
            self.lose_answers -= 1
            self.in_between()
            raise StoreUnavailable("the answer was lost")
        return answer


@pytest.fixture
def faulty(runtime: Runtime) -> Faulty:
    """The runtime's store, ready to lose what it is asked to."""
    store = Faulty(runtime.store)
    runtime.__dict__["store"] = store
    return store

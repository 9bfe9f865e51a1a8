"""A stage for acceptance tests: workers that relieve each other, and every state ever written."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from signal import SIGTERM
from typing import Any

import celery
import redis
from celery import Celery, signature
from celery.canvas import Signature

from celery_graceful.model.run.events import Event
from celery_graceful.model.run.record import Outcome, Record, RunKey
from celery_graceful.model.run.verdict import Decision, Policy
from celery_graceful.runs.transition import transition
from celery_graceful.stores.url import open_store
from tests.harness import Ledger, Worker, producer, wait_for

StartWorker = Callable[..., Worker]

#: Starting takes a second less without asking the other workers what they know.
QUICK = ("--without-mingle",)

FINAL = {"SUCCESS", "FAILURE", "REVOKED"}


class Scene:
    """One test's broker, result backend, ledger, and workers of one application."""

    def __init__(
        self, module: str, broker: str, backend: str, ledger: Ledger, start_worker: StartWorker
    ) -> None:
        self.broker = broker
        self.backend = backend
        self.ledger = ledger
        self.settings: dict[str, Any] = {}
        self.name = module
        self._module = f"tests.acceptance.apps.{module}"
        self._start_worker = start_worker

    def worker(self, *args: str, concurrency: int = 2, **options: Any) -> Worker:
        """Start a worker and wait until it is ready."""
        env = {
            "BROKER_URL": self.broker,
            "RESULT_URL": self.backend,
            "LEDGER": str(self.ledger.path),
            "SETTINGS": json.dumps(self.settings),
            "C_FORCE_ROOT": "1",  # else no worker of root accepts pickle
        }
        env.update(options.pop("env", {}))
        worker = self._start_worker(
            self._module, args=["-c", str(concurrency), *QUICK, *args], env=env, **options
        )
        return worker.wait_ready()

    def producer(self, **settings: Any) -> Any:
        """A context manager for an application that sends tasks."""
        return producer(self.broker, self.backend, **{**self.settings, **settings})

    def items(self, tag: str) -> list[int]:
        """The numbers of the items that the run with ``tag`` has noted, in order."""
        return [
            int(entry.rpartition(":")[2])
            for entry in self.ledger.items()
            if str(entry).startswith(f"{tag}:")
        ]

    def relay(
        self, worker: Worker, tags: Collection[str], times: int = 3, **options: Any
    ) -> Worker:
        """Stop the worker that carries the runs ``tags`` while another waits, several times.

        Returns:
            The worker that is left.
        """
        self.wait_carried(worker, tags)
        stopped = []
        for _ in range(times):
            waiting = self.worker(**options)
            worker.signal(SIGTERM)
            self.wait_carried(waiting, tags)
            stopped.append(worker)
            worker = waiting
        for gone in stopped:
            assert gone.wait() == 0
        return worker

    def wait_carried(self, worker: Worker, tags: Collection[str], timeout: float = 20) -> None:
        """Wait until children of ``worker`` have done items of all the runs ``tags``."""

        def missing() -> set[str]:
            pids = set(worker.children())
            entries = self.ledger.entries()
            by = {str(e.item).rpartition(":")[0] for e in entries if e.pid in pids}
            return set(tags) - by

        wait_for(
            lambda: not missing(),
            timeout,
            lambda: f"{missing()} on {worker.name}\n{worker.log()[-3000:]}",
        )

    def check_items(self, tag: str) -> None:
        """No item of a run was lost or done twice."""
        done = self.items(tag)
        assert done == list(range(1, len(done) + 1)), tag

    def record(self, task: str, task_id: str) -> Record | None:
        """The run's record; the store is the result backend."""
        store = open_store(self.backend, self.name, timeout=30)
        try:
            return store.load(RunKey(task, task_id)).record
        finally:
            store.close()

    def happen(self, task: str, task_id: str, event: Event) -> Decision:
        """Let something happen to a run, as if another worker or an operator had done it."""
        store = open_store(self.backend, self.name, timeout=30)
        try:
            return transition(store, RunKey(task, task_id), event, Policy()).decision
        finally:
            store.close()

    def outcome(self, task: str, task_id: str) -> Outcome | None:
        """How the run ended; ``None`` while it has not."""
        record = self.record(task, task_id)
        return None if record is None or record.live else record.outcome

    def wait_outcome(self, task: str, task_id: str, timeout: float = 20) -> Outcome:
        """Wait until the run has ended; returns how."""
        found = wait_for(
            lambda: self.outcome(task, task_id), timeout, lambda: str(self.record(task, task_id))
        )
        assert found is not None
        return found


class States:
    """Every state that was written to a Redis result backend, in order."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        self._listener: Any = self._client.pubsub(  # type: ignore[no-untyped-call]
            ignore_subscribe_messages=True
        )
        self._listener.psubscribe("celery-task-meta-*")
        self._written: dict[str, list[dict[str, Any]]] = {}

    def metas(self, task_id: str) -> list[dict[str, Any]]:
        """All that was written about one task until now."""
        self._read()
        return self._written.get(task_id, [])

    def of(self, task_id: str) -> list[str]:
        """The states of one task, as they were written."""
        return [meta["status"] for meta in self.metas(task_id)]

    def check_final(self, task_id: str) -> str:
        """The task has ended, and nothing but that was written afterwards; returns the state."""
        states = self.of(task_id)
        # Celery itself tells of a hard time limit twice, and of a revoke up to once per worker.
        ends = [state for state in states if state in FINAL]
        assert ends, states
        afterwards = set(states[states.index(ends[0]) :])
        if celery.VERSION[:2] == (5, 6) and ends[0] == states[-1] == "REVOKED":
            afterwards.discard("PROGRESS")  # it says REVOKED before the task has heard of it
        assert afterwards == {ends[0]}, states
        assert len(ends) == 1 or ends[0] != "SUCCESS", states
        return ends[0]

    def check_finals(self, allowed: Collection[str]) -> None:
        """Every task that was ever written about has ended as one of ``allowed``."""
        self._read()
        assert self._written
        for task_id in tuple(self._written):  # callbacks go on being told of meanwhile
            assert self.check_final(task_id) in allowed

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()
        self._client.close()

    def _read(self) -> None:
        # The server keeps the order, so that all that was written before the marker is read.
        marker = uuid.uuid4().hex
        self._client.publish("celery-task-meta-marker", marker)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            message = self._listener.get_message(timeout=1)
            if message is None:
                continue
            if message["data"] == marker.encode():
                return
            meta = json.loads(message["data"])
            self._written.setdefault(meta["task_id"], []).append(meta)
        raise AssertionError("the result backend did not repeat the marker")


@contextmanager
def recorded_states(url: str) -> Iterator[States]:
    """Record what the result backend at ``url`` is told: Celery publishes each write."""
    states = States(url)
    try:
        yield states
    finally:
        states.close()


def wait_listening(app: Celery, worker: Worker) -> None:
    """Wait until a worker hears remote control, which may be a moment after it is ready."""
    where = [f"{worker.name}@localhost"]
    wait_for(
        lambda: app.control.ping(destination=where, timeout=1, limit=1), 60, f"a pong of {where}"
    )


def add_consumer(app: Celery, queue: str, worker: Worker) -> None:
    """Have a worker take what comes by this queue; asks until it answers."""
    where = [f"{worker.name}@localhost"]
    wait_for(
        lambda: app.control.add_consumer(queue, destination=where, reply=True, timeout=5, limit=1),
        60,
        f"an answer of {worker.name}",
    )


def signatures(app: Celery, prefix: str) -> Callable[..., Signature[Any]]:
    """A function that makes signatures of ``prefix``'s tasks: ``make("add", 1, x=2)``."""

    def make(name: str, *args: Any, **kwargs: Any) -> Signature[Any]:
        return signature(f"{prefix}.{name}", args=args, kwargs=kwargs, app=app)

    return make

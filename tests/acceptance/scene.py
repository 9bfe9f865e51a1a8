"""A stage for acceptance tests: workers that relieve each other, and every state ever written."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from signal import SIGTERM
from typing import Any

import redis
from celery import Celery, signature
from celery.canvas import Signature

from celery_graceful.model.record import Outcome, Record, RunKey
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
        store = open_store(self.backend, self.name)
        try:
            return store.load(RunKey(task, task_id)).record
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

    def __init__(self) -> None:
        self.written: dict[str, list[dict[str, Any]]] = {}

    def of(self, task_id: str) -> list[str]:
        """The states of one task, as they were written."""
        return [meta["status"] for meta in list(self.written.get(task_id, ()))]

    def check_final(self, task_id: str) -> None:
        """Nothing was written after a final state."""
        states = self.of(task_id)
        finals = [state for state in states if state in FINAL]
        assert len(finals) == 1, states
        assert states[-1] == finals[0], states

    def check_finals(self, allowed: Collection[str]) -> None:
        """Every task that was ever written about has ended, once, as one of ``allowed``."""
        for task_id in self.written:
            self.check_final(task_id)
            assert self.of(task_id)[-1] in allowed


@contextmanager
def recorded_states(url: str) -> Iterator[States]:
    """Record what the result backend at ``url`` is told: Celery publishes each write."""
    states = States()
    client = redis.Redis.from_url(url)
    listener = client.pubsub(ignore_subscribe_messages=True)
    listener.psubscribe("celery-task-meta-*")
    done = threading.Event()

    def listen() -> None:
        while not done.is_set():
            message = listener.get_message(timeout=0.1)
            if message is None:
                continue
            meta = json.loads(message["data"])
            states.written.setdefault(meta["task_id"], []).append(meta)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield states
    finally:
        done.set()
        thread.join()
        listener.close()
        client.close()


def signatures(app: Celery, prefix: str) -> Callable[..., Signature[Any]]:
    """A function that makes signatures of ``prefix``'s tasks: ``make("add", 1, x=2)``."""

    def make(name: str, *args: Any, **kwargs: Any) -> Signature[Any]:
        return signature(f"{prefix}.{name}", args=args, kwargs=kwargs, app=app)

    return make

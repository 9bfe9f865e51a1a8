"""Runs under test: started by name, watched through their ledgers, checked item by item."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery import Celery, signature
from celery.result import AsyncResult

from tests.harness import Entry, Ledger, Worker, producer, wait_for
from tests.harness.lately import done_in

APP = "tests.acceptance.apps.items"
STYLES = ("items.generator", "items.class")
#: With ``GRACEFUL_FULL=1`` items keep their pause after a run was resumed.
FULL = os.environ.get("GRACEFUL_FULL") == "1"


@dataclass
class Run:
    """One run of an iterable task; its items are 0 … ``items`` - 1."""

    result: AsyncResult[Any]
    ledger: Ledger
    items: int

    @property
    def id(self) -> str:
        return str(self.result.id)

    def wait_items(self, least: int, timeout: float = 30) -> None:
        """Wait until at least so many items are noted."""
        wait_for(
            lambda: len(self.ledger) >= least,
            timeout,
            lambda: f"{least} items of {self.id}, got {len(self.ledger)}",
        )

    def wait_resumed(self, after: float, timeout: float = 30) -> float:
        """Wait for an item of another process than the one that had the run at ``after``.

        Returns:
            The seconds from ``after`` to that item.
        """
        before = [entry.pid for entry in self.ledger.entries() if entry.at <= after][-1]

        def resumed() -> list[Entry]:
            return [e for e in self.ledger.entries() if e.at > after and e.pid != before]

        first = wait_for(resumed, timeout, f"an item of {self.id} in another process", interval=0.1)
        return first[0].at - after

    def hurry(self) -> None:
        """The items that are left take no time."""
        Path(f"{self.ledger.path}.hurry").touch()

    def check_result(self, timeout: float = 60) -> None:
        """The first ``get()`` returns the right result, of this very task id."""
        value = self.result.get(timeout=timeout)
        assert value == {"id": self.id, "sum": sum(range(self.items))}
        assert self.result.state == "SUCCESS"

    def lost(self) -> list[int]:
        """Items that were never done."""
        return sorted(set(range(self.items)) - set(self.ledger.items()))

    def repeated(self) -> Counter[int]:
        """How often items were done again."""
        return Counter({i: n - 1 for i, n in self.ledger.counts().items() if n > 1})

    def check_exact(self) -> None:
        """No item was lost, none done twice."""
        assert not self.lost()
        assert not self.repeated()

    def check_exact_so_far(self) -> None:
        """What was done until now was done in order, each item once."""
        done = self.ledger.items()
        assert done == list(range(len(done)))

    def done_in(self, seconds: float, before: float) -> int:
        """How many items were done in the ``seconds`` before a moment."""
        return done_in(seconds, before, self.ledger.times())


class Stage:
    """One test's broker, store, workers and runs.

    Args:
        broker: URL of the broker.
        backend: URL of the result backend.
        folder: for ledgers and logs.
        store: URL of the store of runs; the result backend when ``None``.
    """

    def __init__(self, broker: str, backend: str, folder: Path, store: str | None = None) -> None:
        self.broker = broker
        self.backend = backend
        self.folder = folder
        self.settings: dict[str, Any] = {"graceful_store": store or backend}
        self.runs: list[Run] = []
        self.app: Celery

    @contextmanager
    def open(self, **settings: Any) -> Iterator[Stage]:
        """Connect the producer, with more of Celery's settings."""
        with producer(self.broker, self.backend, **settings) as self.app:
            yield self

    def worker(
        self,
        name: str,
        *args: str,
        kind: Callable[..., Worker] = Worker,
        app: str = APP,
        env: dict[str, str | None] | None = None,
        settings: dict[str, Any] | None = None,
        pool: str = "prefork",
        concurrency: int = 2,
    ) -> Worker:
        """Start a worker; does not wait until it is ready."""
        return kind(
            app,
            args=["-c", str(concurrency), "--without-mingle", *args],  # which takes a second
            env={
                "BROKER_URL": self.broker,
                "RESULT_URL": self.backend,
                "SETTINGS": json.dumps({**self.settings, **(settings or {})}),
                **(env or {}),
            },
            pool=pool,
            name=name,
            logfile=self.folder / f"{name}.log",
        ).start()

    def waiting(self, name: str = "waiting", **options: Any) -> Worker:
        """Start a worker that takes nothing before ``let_in``."""
        return self.worker(name, "-Q", "nothing", **options)

    def let_in(self, worker: Worker) -> None:
        """Have a worker from ``waiting`` take what comes."""
        where = [f"{worker.name}@localhost"]
        # On gevent it hears of remote control a moment after it is ready; runs do not wait for it.
        for seconds in (0.3, 0.5, 1, 2, 4, 8, 16, 32):
            if self.app.control.add_consumer(
                "celery", destination=where, reply=True, timeout=seconds, limit=1
            ):
                return
        raise AssertionError(f"{worker.name} did not answer")

    def start(self, name: str, items: int, pause: float, **options: Any) -> Run:
        """Send a task of ``apps/items.py``."""
        ledger = Ledger(self.folder / f"ledger-{len(self.runs)}.jsonl")
        run = Run(self.send(name, str(ledger.path), items, pause, **options), ledger, items)
        self.runs.append(run)
        return run

    def send(self, name: str, *args: Any, **options: Any) -> AsyncResult[Any]:
        """Send a task by its name."""
        return self.app.send_task(name, args, **options)

    def callback(self, name: str, path: Path) -> Any:
        """The signature of a callback that notes in the ledger ``path``."""
        return signature(name, kwargs={"path": str(path)}, app=self.app)


def check_log_of_leaving(worker: Worker, run: Run) -> int:
    """The worker's log names the run, its cursor and the reason; returns the cursor."""
    found = worker.wait_log(
        rf"\[{run.id}\] at cursor (\d+) .*(was interrupted|goes back to the queue): shutdown"
    )
    return int(found[1])


def gone(paths: Callable[[], set[str]], before: set[str]) -> None:
    """Wait until no path is there that was not there ``before``."""
    wait_for(lambda: not paths() - before, 20, lambda: f"the end of {paths() - before}")

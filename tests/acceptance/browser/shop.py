"""The scene of the tests here: one worker, one store and the screens over them, started once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celery import Celery
from werkzeug.security import generate_password_hash

from celery_graceful import Graceful
from celery_graceful.runs.plain_run import Run
from tests.harness import Ledger, Worker, wait_for
from tests.harness.forkserver import Forked, start
from tests.harness.producer import producer
from tests.harness.worker import started
from tests.servers.process import HOST, free_port

APP = "tests.acceptance.apps.screened"
USER, PASSWORD = "ann", "correct horse"
SLOW, FAILING, BAD, SHORT = (
    f"shop.{name}" for name in ("import_orders", "send_invoices", "import_customers", "reindex")
)
#: Long enough for a machine that others use as well.
PATIENCE = 60


class Shop:
    """One worker and its store, and what people do there without the screen.

    Attributes:
        folder: for logs and the ledger.
        app: sends tasks.
        runs: ``graceful.runs``.
        maintenance: ``graceful.maintenance``.
    """

    def __init__(self, url: str, folder: Path, app: Celery) -> None:
        self.redis = url
        self.folder = folder
        self.app = app
        graceful = Graceful(app)
        self.runs, self.maintenance = graceful.runs, graceful.maintenance
        self.ledger = Ledger(folder / "ledger.jsonl")
        self.env = {
            "BROKER_URL": url,
            "RESULT_URL": url,
            "LEDGER": str(self.ledger.path),
            "SETTINGS": json.dumps(dict(SETTINGS)),
        }
        self._processes: list[Forked | subprocess.Popen[bytes]] = []

    def start_worker(self, name: str = "w1", *args: str, concurrency: int = 4) -> Worker:
        """Start a worker that outlives the test; waits until it is ready."""
        worker = Worker(
            APP,
            args=["-c", str(concurrency), "--without-mingle", *args],
            env=self.env,
            name=name,
            logfile=self.folder / f"{name}.log",
        ).start()
        started.remove(worker)  # else it ends with the test
        return worker.wait_ready()

    def serve(self, argv: list[str], address: str, env: Mapping[str, str] | None = None) -> str:
        """Start a server that answers at ``address``; returns that."""
        log = self.folder / f"server-{len(self._processes)}.log"
        with log.open("wb") as output:
            process = start(argv, env={**os.environ, **self.env, **(env or {})}, output=output)
        self._processes.append(process)

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            return _answers(address)

        wait_for(answers, PATIENCE, lambda: f"an answer of {address}\n{log.read_text()}")
        return address

    def serve_screen(self, *options: str) -> str:
        """``celery graceful web``; returns its address."""
        port = free_port()
        argv = [sys.executable, "-m", "celery", "-A", APP, "graceful", "web", "--port", str(port)]
        return self.serve([*argv, *options], f"http://{HOST}:{port}/")

    def serve_admin(self) -> str:
        """A Django project; returns the address of the runs in its admin."""
        port = free_port()
        module = "tests.acceptance.browser.admin_site"
        argv = [sys.executable, "-m", module, str(port), str(self.folder / "admin.sqlite3")]
        return self.serve(argv, f"http://{HOST}:{port}/") + "admin/celery_graceful/run/"

    def password_file(self) -> str:
        """A file with the hash of ``PASSWORD``, which is quickly checked."""
        file = self.folder / "password"
        file.write_text(generate_password_hash(PASSWORD, "pbkdf2:sha256:1000") + "\n")
        return str(file)

    # --- runs ---------------------------------------------------------------------------------

    def send(self, task: str, *args: Any, **kwargs: Any) -> str:
        """Send a task; returns the id."""
        return str(self.app.send_task(task, args, kwargs).id)

    def wait_run(self, run_id: str, holds: Callable[[Run], object], what: str = "") -> Run:
        """Wait until the store has a run and ``holds(run)`` is true."""

        def found() -> Run | None:
            known = {run.id: run for run in self.runs.list(text=run_id)}
            run = known.get(run_id)
            return run if run is not None and holds(run) else None

        def last() -> str:
            return f"{what} {self.runs.list(text=run_id)}"

        run = wait_for(found, PATIENCE, last, interval=0.05)
        assert run is not None
        return run

    def wait_state(self, run_id: str, *states: str) -> Run:
        """Wait until a run is in one of these states."""
        return self.wait_run(run_id, lambda run: run.state in states, f"{run_id} {states}")

    def slow(self, path: str = "orders.csv") -> str:
        """A run that is under way, with a checkpoint, and lasts; its id."""
        run_id = self.send(SLOW, path)
        self.wait_run(run_id, lambda run: run.state == "running" and run.steps > 0)
        return run_id

    def close(self) -> None:
        """End the servers."""
        for process in self._processes:
            process.kill()
            process.wait()


#: Of the worker and of those who look.
SETTINGS: Mapping[str, Any] = {"graceful_lease_ttl": 10, "graceful_rescue_interval": 0.5}


@contextmanager
def open_shop(url: str, folder: Path, workers: int = 1) -> Iterator[Shop]:
    """A shop with so many workers, all on one Redis; ends with the block."""
    with producer(url, url, **SETTINGS) as app:
        app.main = "shop"
        shop = Shop(url, folder, app)
        names = [f"w{number + 1}" for number in range(workers)]
        started = [shop.start_worker(name, concurrency=4 // workers) for name in names]
        try:
            yield shop
        finally:
            shop.close()
            for worker in started:
                worker.reap()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}", timeout=30):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False  # not listening yet


def shown_id(text: str) -> str:
    """The id in a message like ``shop.reindex[5f3a…]``."""
    found = re.search(r"\[([\w-]{8,})\]", text)
    assert found is not None, text
    return found[1]

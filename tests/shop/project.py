"""The example project with its servers, as its user starts it: commands and workers."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from celery import Celery
from celery.result import AsyncResult

import celery_graceful
from celery_graceful import Graceful
from tests.harness import Worker, producer
from tests.harness.forkserver import COLD, ROOT, run

PROJECT = ROOT / "example_project"
PACKAGE = Path(celery_graceful.__file__).parent


class Shop:
    """The project with a database and a broker of its own.

    Args:
        app: sends its tasks, without having them; see :func:`opened`.
        folder: where its files go.
        redis_url: the broker.
        database_url: PostgreSQL; ``None`` for a SQLite file.
        env: more variables of its processes.
    """

    def __init__(
        self,
        app: Celery,
        folder: Path,
        redis_url: str,
        database_url: str | None = None,
        **env: str,
    ) -> None:
        self.app = app
        self.graceful = Graceful(app)
        self.folder = folder
        self.database_url = (database_url or "").replace("+psycopg", "")
        self._sqlite = folder / "shop.sqlite3"
        self.env = {
            "DJANGO_SETTINGS_MODULE": "tests.shop.settings",
            "REDIS_URL": redis_url,
            "DATABASE_URL": self.database_url,
            "SQLITE_FILE": str(self._sqlite),
            "PAUSE_UNTIL": str(folder / "hurry"),
            **env,
        }
        if sys.platform != "linux" or os.environ.get(COLD) == "1":  # no process is forked
            self.env["PYTHONPATH"] = os.pathsep.join([str(PACKAGE.parent), str(ROOT)])
        self.workers: list[Worker] = []

    # -- commands ----------------------------------------------------------------------------

    def manage(self, *words: str) -> str:
        """The output of ``python manage.py …``."""
        argv = [sys.executable, "manage.py", *words]
        done = run(argv, env={**os.environ, **self.env}, timeout=100, cwd=PROJECT)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def send(self, task: str, **kwargs: Any) -> AsyncResult[Any]:
        """Send a task, as ``celery -A shop call`` does."""
        return self.app.send_task(task, kwargs=kwargs)

    def hurry(self) -> None:
        """From now on the import takes no pauses."""
        (self.folder / "hurry").touch()

    # -- workers -----------------------------------------------------------------------------

    def start_worker(self) -> Worker:
        """Start a worker beside those that run; does not wait until it is ready."""
        log = self.folder / f"worker-{len(self.workers) + 1}.log"
        options = ("-c", "3", "--without-mingle", "--without-gossip")
        name = log.stem
        worker = Worker("shop", args=options, env=self.env, cwd=PROJECT, name=name, logfile=log)
        self.workers.append(worker.start())
        return worker

    # -- the database ------------------------------------------------------------------------

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query yields."""
        if self.database_url:
            with psycopg.connect(self.database_url) as connection:
                return connection.execute(query.encode()).fetchall()
        with closing(sqlite3.connect(self._sqlite, timeout=30)) as db:
            return db.execute(query).fetchall()

    def number(self, query: str) -> int:
        """The first column of a query's first row."""
        return int(self.rows(query)[0][0])


@contextmanager
def opened(
    folder: Path, redis_url: str, database_url: str | None = None, **env: str
) -> Iterator[Shop]:
    """The project, with its tables; arguments as for :class:`Shop`."""
    with producer(redis_url, redis_url, graceful_namespace="shop") as app:
        shop = Shop(app, folder, redis_url, database_url, **env)
        shop.manage("migrate", "-v0")
        yield shop

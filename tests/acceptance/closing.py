"""A scene for maintenance tests: putting it down and up, and what its workers tell."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from types import SimpleNamespace
from typing import Any, NamedTuple

from celery import Celery
from celery.result import AsyncResult
from click.testing import CliRunner

from celery_graceful import Graceful
from celery_graceful.cli import graceful
from celery_graceful.maintenance import mode_changes
from celery_graceful.maintenance.workers import Report, decode_report
from celery_graceful.model.maintenance.mode import Mode
from celery_graceful.runtime import runtime_of
from celery_graceful.stores.base import REPORTS, Store
from celery_graceful.stores.url import open_store
from tests.acceptance.scene import Scene
from tests.harness import Worker, producer, wait_for

#: The tasks of ``apps/upkeep.py``: what an operator may hold has to be known to the app.
TASKS = ("short", "other", "long", "tidy", "watching", "walk")
#: Where messages reach no worker.
NOWHERE = "memory://"


class Done(NamedTuple):
    """What came of a command."""

    returncode: int
    stdout: str
    stderr: str


class Closing:
    """What a test does to the workers of an application.

    Args:
        scene: of the application ``upkeep``.
        app: sends its tasks.
        store: of its runs.
    """

    def __init__(self, scene: Scene, app: Celery, store: Store) -> None:
        self.scene = scene
        self.app = app
        self.store = store
        self.broadcast = True
        self._opened = ExitStack()

    # -- tasks ------------------------------------------------------------------------------

    def send(self, task: str, *args: Any, **options: Any) -> AsyncResult[Any]:
        """Send ``upkeep.`` + ``task``."""
        return self.app.send_task(f"upkeep.{task}", args, **options)

    def send_note(self, text: str) -> None:
        """Write a note that a task waits for."""
        self.scene.ledger.add(text)

    def noted(self, start: str = "") -> list[str]:
        """What tasks have noted, as far as it begins with ``start``."""
        return [str(item) for item in self.scene.ledger.items() if str(item).startswith(start)]

    def begun_after(self, moment: float, start: str = "") -> list[str]:
        """What was noted after ``moment`` (monotonic seconds)."""
        entries = self.scene.ledger.entries()
        return [str(e.item) for e in entries if e.at > moment and str(e.item).startswith(start)]

    def wait_noted(self, start: str, count: int = 1, timeout: float = 30) -> None:
        """Wait until so many notes begin with ``start``."""
        wait_for(
            lambda: len(self.noted(start)) >= count,
            timeout,
            lambda: f"{count} × {start!r}, got {Counter(self.noted()).most_common(20)}",
        )

    # -- the mode ---------------------------------------------------------------------------

    def mode(self) -> Mode:
        """The mode in the store."""
        return mode_changes.read(runtime_of(self.operator)).mode

    def down(self, *scopes: str, **options: Any) -> int:
        """Hold ``queue x``, ``task y``, or everything; returns the mode's version."""
        queues, tasks = named("queue", scopes), named("task", scopes)
        done = self._graceful.maintenance.down(queues, tasks, who="test", **options)
        return done.mode.version

    def up(self, *scopes: str, **options: Any) -> int:
        """Release the same."""
        queues, tasks = named("queue", scopes), named("task", scopes)
        return self._graceful.maintenance.up(queues, tasks, who="test", **options).mode.version

    @property
    def _graceful(self) -> Graceful:
        """The API on this application; without ``broadcast`` no worker hears of a change."""
        return Graceful(self.operator if self.broadcast else self._unheard)

    @cached_property
    def operator(self) -> Celery:
        """The application as an operator has it, with the scene's settings at the first use."""
        return self._opened.enter_context(operator(self.scene, self.scene.broker))

    @cached_property
    def _unheard(self) -> Celery:
        return self._opened.enter_context(operator(self.scene, NOWHERE))

    # -- commands ---------------------------------------------------------------------------

    @property
    def env(self) -> dict[str, str]:
        """What the application reads from its environment."""
        return {
            "BROKER_URL": self.scene.broker,
            "RESULT_URL": self.scene.backend,
            "LEDGER": str(self.scene.ledger.path),
            "SETTINGS": json.dumps(self.scene.settings),
        }

    def graceful(self, *words: str) -> Done:
        """What ``celery -A … graceful`` does with these words, in this process."""
        context = SimpleNamespace(app=self.operator)
        done = CliRunner().invoke(
            graceful, words, obj=context, prog_name="celery graceful", catch_exceptions=False
        )
        return Done(done.exit_code, done.stdout, done.stderr)

    def close(self) -> None:
        """Disconnect the operator."""
        self._opened.close()

    # -- workers ----------------------------------------------------------------------------

    def reports(self) -> dict[str, Report]:
        """The last report of each worker, by its name in the test."""
        found = [decode_report(a.text) for a in self.store.texts(REPORTS)]
        return {r.hostname.partition("@")[0]: r for r in found if r is not None}

    def paused(self, *workers: Worker, version: int) -> bool:
        """Whether these workers keep this version and run nothing that is held."""
        reports = self.reports()
        return all(
            (report := reports.get(worker.name)) is not None
            and report.version >= version
            and report.paused
            and not [b for b in report.busy if b.queue not in report.exempt]
            for worker in workers
        )

    def wait_paused(self, *workers: Worker, version: int, timeout: float = 15) -> float:
        """Wait for that; returns the seconds it took."""
        began = time.monotonic()
        wait_for(
            lambda: self.paused(*workers, version=version),
            timeout,
            lambda: f"{self.reports()}\n{workers[0].log()[-3000:]}",
        )
        return time.monotonic() - began


def named(kind: str, scopes: tuple[str, ...]) -> list[str]:
    """The names of the scopes of one kind."""
    return [name for found, _, name in (s.partition(" ") for s in scopes) if found == kind]


def not_here() -> None:
    """A task as its operator has it: workers run it."""
    raise NotImplementedError


@contextmanager
def operator(scene: Scene, broker: str) -> Iterator[Celery]:
    """The application that ``celery -A`` would find, as far as maintenance needs it."""
    settings = {"graceful_store": scene.backend, "graceful_namespace": scene.name}
    with producer(broker, scene.backend, **{**settings, **scene.settings}) as app:
        for name in TASKS:
            app.task(name=f"{scene.name}.{name}", shared=False)(not_here)
        try:
            yield app
        finally:
            runtime_of(app).store.close()


@contextmanager
def closing(scene: Scene, *, store: str | None = None) -> Iterator[Closing]:
    """Open a scene of the application ``upkeep``, whose runs are kept in the result backend."""
    opened = open_store(store or scene.backend, scene.name, timeout=30)
    try:
        with scene.producer() as app:
            found = Closing(scene, app, opened)
            try:
                yield found
            finally:
                found.close()
    finally:
        opened.close()

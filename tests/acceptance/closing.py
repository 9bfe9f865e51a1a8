"""A scene for maintenance tests: putting it down and up, and what its workers tell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.result import AsyncResult

from celery_graceful.maintenance.report import Report, decode_report
from celery_graceful.model.mode import EVERYTHING, Kind, Mode, Scope, lift, lower, without_ended
from celery_graceful.model.mode_text import decode_mode, encode_mode
from celery_graceful.stores.base import Store
from celery_graceful.stores.url import open_store
from tests.acceptance.scene import Scene
from tests.harness import Worker, wait_for

NOTICE = "maintenance"
#: The entry point may be of another tree, where the package is installed from.
COMMAND = """
import types
from celery_graceful.cli import graceful
from tests.acceptance.apps.upkeep import app
graceful(obj=types.SimpleNamespace(app=app), prog_name="celery graceful")
"""


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
        notice = self.store.read_notice(NOTICE)
        return without_ended(decode_mode(notice.text, notice.version), notice.now)

    def down(self, *scopes: str, seconds: float | None = None, **options: Any) -> int:
        """Hold ``queue x``, ``task y``, or everything; returns the mode's version."""
        found = [Scope(Kind(kind), name) for kind, _, name in (s.partition(" ") for s in scopes)]

        def change(mode: Mode, now: float) -> Mode:
            until = None if seconds is None else now + seconds
            return lower(mode, found or [EVERYTHING], now=now, who="test", until=until, **options)

        return self._change(change)

    def up(self, *scopes: str, ramp: float = 0.0) -> int:
        """Lift the same."""
        found = [Scope(Kind(kind), name) for kind, _, name in (s.partition(" ") for s in scopes)]
        return self._change(lambda mode, now: lift(mode, found, now=now, who="test", ramp=ramp))

    def _change(self, change: Any) -> int:
        notice = self.store.read_notice(NOTICE)
        mode = change(decode_mode(notice.text, notice.version), notice.now)
        posted = self.store.post_notice(NOTICE, notice.version, encode_mode(mode))
        assert posted is not None
        if self.broadcast:
            arguments = {
                "namespace": self.scene.name,
                "version": posted.version,
                "text": encode_mode(mode, log=False),
            }
            self.app.control.broadcast("graceful_maintenance", arguments=arguments)
        return posted.version

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

    def graceful(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``celery -A … graceful`` with these words."""
        command = [sys.executable, "-c", COMMAND, *words]
        env = {**os.environ, **self.env}
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=90)

    # -- workers ----------------------------------------------------------------------------

    def reports(self) -> dict[str, Report]:
        """The last report of each worker, by its name in the test."""
        found = [decode_report(a.report) for a in self.store.attendance()]
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


@contextmanager
def closing(scene: Scene, *, store: str | None = None) -> Iterator[Closing]:
    """Open a scene of the application ``upkeep``, whose runs are kept in the result backend."""
    opened = open_store(store or scene.backend, scene.name, timeout=30)
    try:
        with scene.producer() as app:
            yield Closing(scene, app, opened)
    finally:
        opened.close()

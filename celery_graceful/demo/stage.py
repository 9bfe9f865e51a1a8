"""The story of the demo: three workers for one run; the first is stopped, the second killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from celery_graceful.demo import servers, work
from celery_graceful.demo.demo_verdict import Moments, Verdict, judge
from celery_graceful.demo.screen import Screen

if TYPE_CHECKING:
    from celery.result import AsyncResult

#: How long the work itself is to take, in seconds; the pause at each file follows from it.
WORK = 12.0
#: How long any one thing may take on a slow machine, in seconds, before the demo fails.
PATIENCE = 45.0
_LOOK = 0.02


class StageError(Exception):
    """Something that had to happen did not; the message ends with the worker's log."""


def play(screen: Screen, home: Path) -> Verdict:
    """Run the whole demo in the folder ``home``.

    Raises:
        MissingServer: the embedded server cannot be started.
        StageError: a worker did not do what the demo waits for.
    """
    from celery_graceful.demo import app as demo_app

    with servers.valkey(home / "valkey") as url, servers.environment(**{demo_app.SERVER: url}):
        # The module may have been imported before there was a server.
        demo_app.app.conf.update(broker_url=url, result_backend=url)
        stage = _Stage(screen, home, demo_app)
        try:
            return stage.perform()
        finally:
            stage.clear()
            demo_app.app.close()


class _Stage:
    def __init__(self, screen: Screen, home: Path, demo_app: Any) -> None:
        self.screen = screen
        self.home = home
        self.demo_app = demo_app
        self.notes = work.Notes(home / "notes.jsonl")
        self.expected = work.Expected([], {})
        self.workers: list[servers.Worker] = []
        self.result: AsyncResult[Any] | None = None

    # -- the story --------------------------------------------------------------------------

    def perform(self) -> Verdict:
        began = time.monotonic()
        first = self._start_worker()
        root = self._count()
        self._wait(lambda: first.ready, "the first worker was ready")
        self._send(root)
        terminated, exited = self._deploy(first)
        killed = self._kill()
        reported = self._wait_for_result()
        moments = Moments(began, terminated, exited, killed, time.monotonic())
        self.notes.read()
        interval = self._checkpoint_interval()
        return judge(self.expected, reported, self.notes.entries, moments, interval)

    def _count(self) -> str:
        root = work.standard_library()
        self.expected = work.by_plain_loop(root)
        sums = self.expected.sums
        self.screen.say(f"A plain loop over {root}: {sums['files']} files, {sums['lines']} lines")
        return root

    def _send(self, root: str) -> None:
        self.result = self.demo_app.survey_files.delay(
            root, self.notes.path, WORK / len(self.expected.names)
        )
        self.screen.say(f"The run begins; task id {self.result.id}")

    def _deploy(self, first: servers.Worker) -> tuple[float, float]:
        """Stop the first worker, and start the next one at the same time."""
        self._wait_for_share(1 / 3)
        terminated = first.terminate()
        self.screen.say(f"SIGTERM to {first.name} at file {self._done()}, as in a deploy")
        self._start_worker()
        self._wait(lambda: first.exit_code is not None, f"{first.name} had exited")
        exited = time.monotonic()
        self.screen.say(f"{first.name} has exited, {exited - terminated:.1f} s after the SIGTERM")
        return terminated, exited

    def _kill(self) -> float:
        """Kill the second worker, and start the third."""
        self._wait_for_share(2 / 3)
        second = self.workers[-1]
        killed = second.kill()
        self.screen.say(f"SIGKILL to {second.name} at file {self._done()}, like a lost machine")
        self._start_worker()
        return killed

    def _wait_for_result(self) -> dict[str, Any]:
        self._wait(lambda: self.result is not None and self.result.ready(), "the run had ended")
        if self.result is None or self.result.failed():
            self._fail(f"The run failed: {self.result and self.result.result!r}")
        reported: dict[str, Any] = self.result.get(timeout=PATIENCE)
        self.screen.say("The run has ended; its result reached the caller")
        return reported

    # -- behind the scenes ------------------------------------------------------------------

    def _start_worker(self) -> servers.Worker:
        with servers.signals_wait():
            worker = servers.Worker(f"worker-{len(self.workers) + 1}", self.home)
            self.workers.append(worker)
        self.screen.say(f"{worker.name} starts (pid {worker.pid})")
        return worker

    def clear(self) -> None:
        """End all that still runs. Idempotent."""
        # While its server is there: a result unsubscribes when it is forgotten.
        self.result = None
        for worker in self.workers:
            worker.kill()

    def _done(self) -> int:
        self.notes.read()
        return len(self.notes.names)

    def _wait_for_share(self, share: float) -> None:
        goal = int(share * len(self.expected.names))
        self._wait(lambda: self._done() >= goal, f"{goal} files were done")

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not condition():
            self._show()
            worker = self.workers[-1]
            if worker.exit_code is not None:
                self._fail(f"{worker.name} has ended by itself, with {worker.exit_code}")
            if time.monotonic() > until:
                self._fail(f"Waited {PATIENCE:g} s in vain until {what}")
            time.sleep(_LOOK)

    def _show(self) -> None:
        done = self._done()
        if done:
            seen = len({entry.pid for entry in self.notes.entries})
            worker_now = self.workers[min(seen, len(self.workers)) - 1]
            self.screen.progress(done, len(self.expected.names), f"on {worker_now.name}")

    def _checkpoint_interval(self) -> float:
        from celery_graceful.runtime import runtime_of

        return runtime_of(self.demo_app.app).settings.checkpoint_interval

    def _fail(self, what: str) -> NoReturn:
        worker = self.workers[-1]
        raise StageError(f"{what}. The log of {worker.name} ends:\n{worker.tail()}")

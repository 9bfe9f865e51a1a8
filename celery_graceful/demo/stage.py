"""The play: three workers carry one run; the first is stopped, the second killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery_graceful.demo import servers, survey
from celery_graceful.demo.ledger import Reader
from celery_graceful.demo.screen import Screen
from celery_graceful.demo.verdict import Moments, Verdict, judge

if TYPE_CHECKING:
    from celery.result import AsyncResult

__all__ = ["StageError", "play"]

#: How long the work itself is to take, in seconds; the pause at each file follows from it.
WORK = 14.0
#: How long any one thing may take on a slow machine, in seconds, before the play is broken off.
PATIENCE = 45.0
_LOOK = 0.02


class StageError(Exception):
    """Something that had to happen did not; the message ends with the worker's log."""


def play(screen: Screen, home: Path) -> Verdict:
    """Run the whole demo in the folder ``home``.

    Raises:
        MissingServer: the embedded server cannot be started.
        StageError: a worker did not do what the play waits for.
    """
    root = survey.standard_library()
    began = time.monotonic()
    expected = survey.by_plain_loop(root)
    screen.say(
        f"A plain loop over {root}: {expected.sums['files']} files,"
        f" {expected.sums['lines']} lines. Now as a run:"
    )
    from celery_graceful.demo import app as demo_app

    with servers.valkey(home / "valkey") as url, servers.environment(**{demo_app.SERVER: url}):
        demo_app.app.conf.update(broker_url=url, result_backend=url)
        try:
            return _Play(screen, home, root, expected, demo_app).perform(began)
        finally:
            demo_app.app.close()


class _Play:
    def __init__(
        self, screen: Screen, home: Path, root: str, expected: survey.Expected, demo_app: Any
    ) -> None:
        self.screen = screen
        self.home = home
        self.root = root
        self.expected = expected
        self.demo_app = demo_app
        self.reader = Reader(home / "ledger.jsonl")
        self.total = len(expected.names)
        self.workers: list[servers.Worker] = []

    def perform(self, began: float) -> Verdict:
        with self._worker() as first:
            self._wait(lambda: first.ready, "the first worker is ready")
            result = self._send()
            self._wait(lambda: self._done() >= self.total // 3, "a third of the files is done")
            terminated = first.terminate()
            self.screen.say(
                f"SIGTERM to {first.name} at file {self._done()}, as a deploy does;"
                " the next worker starts"
            )
            with self._worker() as second:
                exited = self._exit(first, terminated)
                self._wait(lambda: self._done() >= 2 * self.total // 3, "two thirds are done")
                killed = second.kill()
                self.screen.say(
                    f"SIGKILL to {second.name} at file {self._done()}, as a lost machine;"
                    " the next worker starts"
                )
                with self._worker() as third:
                    self._wait(result.ready, "the run ends")
                    reported = self._reported(result)
                    self.screen.say(f"The run is done, carried last by {third.name}")
        self.reader.read()
        moments = Moments(began, terminated, exited, killed, time.monotonic())
        flush = self._flush_interval()
        return judge(self.expected, reported, self.reader.entries, moments, flush)

    @contextmanager
    def _worker(self) -> Iterator[servers.Worker]:
        worker = servers.Worker(f"worker-{len(self.workers) + 1}", self.home)
        self.workers.append(worker)
        self.screen.say(f"{worker.name} starts (pid {worker.pid})")
        try:
            yield worker
        finally:
            worker.kill()

    def _send(self) -> AsyncResult[Any]:
        result: AsyncResult[Any] = self.demo_app.survey_files.delay(
            self.root, self.reader.path, WORK / self.total
        )
        self.screen.say(f"The run begins; task id {result.id}")
        return result

    def _done(self) -> int:
        self.reader.read()
        return len(self.reader.names)

    def _exit(self, worker: servers.Worker, since: float) -> float:
        self._wait(lambda: worker.exit_code is not None, f"{worker.name} has left")
        at = time.monotonic()
        self.screen.say(f"{worker.name} has left {at - since:.1f} s after the SIGTERM")
        return at

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not condition():
            self._show()
            self._check_alive()
            if time.monotonic() > until:
                self._fail(f"Waited {PATIENCE:g} s in vain until {what}")
            time.sleep(_LOOK)

    def _show(self) -> None:
        done = self._done()
        if done:
            self.screen.progress(done, self.total, f"carried by {self._carrier()}")

    def _carrier(self) -> str:
        """Which worker did the last item, by the processes seen so far."""
        seen = list(dict.fromkeys(entry.pid for entry in self.reader.entries))
        return self.workers[min(len(seen), len(self.workers)) - 1].name

    def _check_alive(self) -> None:
        worker = self.workers[-1]
        if worker.exit_code is not None and len(self.workers) != 1:
            self._fail(f"{worker.name} has ended with {worker.exit_code} by itself")

    def _reported(self, result: AsyncResult[Any]) -> dict[str, Any]:
        if result.failed():
            self._fail(f"The run failed: {result.result!r}")
        reported: dict[str, Any] = result.get(timeout=PATIENCE)
        return reported

    def _flush_interval(self) -> float:
        from celery_graceful.runtime import runtime_of

        return runtime_of(self.demo_app.app).settings.flush_interval

    def _fail(self, what: str) -> None:
        worker = self.workers[-1]
        raise StageError(f"{what}. The log of {worker.name} ends:\n{worker.tail()}")

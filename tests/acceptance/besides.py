"""A worker whose tasks have processes beside them, and a look for what is left of these."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from signal import SIGTERM
from typing import Any

import psutil
from celery.result import AsyncResult

from celery_graceful.processes.leaks.notes import FOLDER as NOTES
from celery_graceful.processes.start_options import TAG
from tests.acceptance.conftest import Figure
from tests.acceptance.scene import Scene, wait_listening
from tests.harness import Worker, wait_for
from tests.harness.family import VARIABLE
from tests.integration.processes.children import CHILDREN

#: Seconds that a busy machine may take beyond what is promised, with all kinds at a time.
SLACK = 10.0
#: Seconds that a process has which never gets ready, where nothing else ends that.
NOT_READY = 1.5
#: Seconds that the others have to get ready.
READY = 60.0

OWN_END = {
    "dies-early": "ProcessEnded",
    "daemonizes": "ProcessEnded",
    "never-ready": "ProcessNotReady",
}


class Beside:
    """A worker with a task for each kind of process."""

    def __init__(self, scene: Scene, app: Any, folder: Path, figure: Figure) -> None:
        self.scene, self.app, self.figure = scene, app, figure
        #: For what the workers' processes leave behind.
        self.folder = folder
        self.results: dict[str, AsyncResult[Any]] = {}
        self.worker: Worker

    def begin(
        self,
        pool: str = "prefork",
        kinds: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        """Start all; returns when all processes run."""
        kinds = kinds or tuple(CHILDREN)
        self.worker = self.start(concurrency=len(kinds), pool=pool)
        # Its event loop has two sockets of its own from its first turn on, when it is ready.
        wait_listening(self.app, self.worker)
        self.sockets_before = self.sockets()
        not_ready = options.pop("not_ready", READY)
        error = options.pop("error", "")
        for kind in kinds:
            timeout = not_ready if CHILDREN[kind].never_ready else READY
            self.results[kind] = self.app.send_task(
                "beside.hold", (kind, kind, timeout, error), **options
            )
        for kind in kinds:
            self.wait_begun(kind)
        assert self.tagged(), "there is something to be ended"

    def start(self, **options: Any) -> Worker:
        """A worker that has its temporary files in ``folder``."""
        return self.scene.worker(env={"TMPDIR": str(self.folder)}, **options)

    def wait_begun(self, kind: str) -> None:
        wait_for(
            lambda: f"{kind} begins" in self.scene.ledger.items(), 60, lambda: self.worker.log()
        )

    def task_pids(self) -> set[int]:
        """The processes that run the tasks."""
        return {entry.pid for entry in self.scene.ledger.entries()}

    def tagged(self) -> list[psutil.Process]:
        """Background processes, their descendants, and guardians of this worker."""
        found = []
        mark = self.worker._family.mark[VARIABLE]
        for process in psutil.process_iter():
            try:
                variables = process.environ()
                guardian = "guardian/run.py" in " ".join(process.cmdline())
                if variables.get(VARIABLE) == mark and (TAG in variables or guardian):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def zombies(self) -> list[psutil.Process]:
        try:
            family = psutil.Process(self.worker.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        found = []
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):  # reaped meanwhile
                if one.status() == psutil.STATUS_ZOMBIE:
                    found.append(one)
        return found

    def sockets(self) -> dict[int, int]:
        """How many sockets to processes of this host the worker's own processes have."""
        found = {}
        for pid in [self.worker.pid, *self.worker.children()]:
            with contextlib.suppress(psutil.NoSuchProcess):
                found[pid] = len(psutil.Process(pid).net_connections("unix"))
        return found

    def sockets_left(self) -> dict[int, int]:
        """Those of the processes that were there before."""
        now = self.sockets()
        before = {pid: number for pid, number in self.sockets_before.items() if pid in now}
        return {pid: now[pid] - number for pid, number in before.items() if now[pid] > number}

    def files(self) -> list[Path]:
        """What lies in the registry, but for the notes of what was ended."""
        return [path for path in self.folder.glob("celery-graceful-*/*") if path.name != NOTES]

    def check_gone(self, since: float, within: float) -> None:
        """All are gone within so many seconds, and nothing is left of them."""
        wait_for(lambda: not self.tagged(), within + SLACK, lambda: f"{self.tagged()}")
        took = time.monotonic() - since
        assert took < within + SLACK
        self.figure(f"all gone after, at most {within:g} s", took)
        wait_for(lambda: not self.files(), 20, lambda: f"{self.files()}")
        if self.worker.exit_code is None:
            wait_for(lambda: not self.zombies(), 20, lambda: f"{self.zombies()}")
            wait_for(lambda: not self.sockets_left(), 20, lambda: f"{self.sockets_left()}")

    def check_states(
        self, state: str, error: str = "", *, own_end: bool = True, **errors: str
    ) -> None:
        """The tasks ended as they should; some for reasons of their own, if they had the time.

        Args:
            state: of those without an error.
            error: the name of its class.
            own_end: whether they had the time.
            errors: of some kinds, which are written with underscores.
        """
        for kind, result in self.results.items():
            expected = OWN_END.get(kind, error) if own_end else error
            expected = errors.get(kind.replace("-", "_"), expected)
            wait_for(result.ready, 20, kind)
            if expected:
                assert result.state == ("REVOKED" if state == "REVOKED" else "FAILURE"), kind
                assert type(result.result).__name__ == expected, kind
            else:
                assert (result.state, result.result) == (state, kind)

    def check_exits(self) -> None:
        """What was left for the tasks' ends has been done, once."""
        wanted = dict.fromkeys(self.results, 1)

        def exits() -> dict[str, int]:
            counts = self.scene.ledger.counts()
            return {kind: counts[f"{kind} exits"] for kind in self.results}

        wait_for(lambda: min(exits().values()) > 0, 10, lambda: f"{exits()}")
        assert exits() == wanted

    def leave(self) -> None:
        self.worker.signal(SIGTERM)
        assert self.worker.wait() == 0

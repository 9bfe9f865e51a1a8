"""Real ``celery worker`` processes for tests: started, signalled, watched and always reaped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from signal import SIGTERM
from types import TracebackType
from typing import TypeVar

from tests.harness.family import Family
from tests.harness.forkserver import ROOT as ROOT
from tests.harness.forkserver import Forked, start
from tests.harness.waiting import wait_for

T = TypeVar("T")

READY = re.compile(r"@\S+ ready\.")
TAIL = 60  # lines of the log that an error shows

started: list[Worker] = []
"""The workers of the current test, for the report of a failure."""


class WorkerError(AssertionError):
    """A worker did not do what the test waited for; the message ends with its log."""


class Worker:
    """One ``celery -A app worker`` in a session and process group of its own.

    Args:
        app: the module of the Celery application, as for ``-A``; relative to ``cwd``.
        args: more arguments of ``celery worker``.
        env: variables added to this process's environment; ``None`` removes one.
        pool: the pool's name, as for ``-P``.
        logfile: where stdout and stderr go; a temporary file when ``None``.
        cold: start a new Python, where the order of imports is the point.
        cwd: the working directory, where ``app`` is found; the root of the tree by default.
        name: the first part of the node name; made from a running number when ``None``.

    Start it with ``with`` or ``start()``. Leaving ``with`` kills what is still there.
    """

    def __init__(
        self,
        app: str,
        *,
        args: Sequence[str] = ("-c", "2"),
        env: Mapping[str, str | None] | None = None,
        pool: str = "prefork",
        logfile: str | os.PathLike[str] | None = None,
        name: str | None = None,
        cold: bool = False,
        cwd: Path = ROOT,
    ) -> None:
        self._cold = cold
        self._cwd = cwd
        self.name = name or f"w{os.getpid()}-{len(started)}"
        self._argv = [
            *(sys.executable, "-m", "celery", "-A", app, "worker"),
            *("-P", pool, "-n", f"{self.name}@localhost", "-l", "INFO", *args),
        ]
        self._family = Family()
        self._env = {**os.environ, **self._family.mark}
        for key, value in (env or {}).items():
            if value is None:
                self._env.pop(key, None)
            else:
                self._env[key] = value
        self._temporary = logfile is None
        self.logfile = Path(logfile) if logfile is not None else _temporary_log()
        self._process: Forked | subprocess.Popen[bytes] | None = None

    # --- life ---------------------------------------------------------------------------------

    def start(self) -> Worker:
        """Start the process; does not wait until it is ready."""
        if self._process is not None:
            raise RuntimeError(f"worker {self.name} was started already; make a new one")
        with self.logfile.open("ab") as log:
            self._process = start(
                self._argv, env=self._env, output=log, cwd=self._cwd, cold=self._cold
            )
        self._family.root = self._process.pid
        started.append(self)
        return self

    def wait_ready(self, timeout: float = 90.0, *, times: int = 1) -> Worker:
        """Wait until the log says for the ``times``-th time that the worker is ready.

        Raises:
            WorkerError: it ended, or ``timeout`` seconds went by.
        """

        def ready() -> bool:
            if len(READY.findall(self.log())) >= times:
                return True
            if (code := self.exit_code) is not None:
                raise self._error(f"ended with {code} before it was ready")
            return False

        self._wait(ready, timeout, "is not ready")
        self._family.look()
        return self

    def wait(self, timeout: float = 60.0) -> int:
        """Wait until the process ends.

        Returns:
            Its exit code; the negative number of the signal that killed it.

        Raises:
            WorkerError: it still runs after ``timeout`` seconds.
        """
        try:
            return self._running().wait(timeout)
        except subprocess.TimeoutExpired:
            raise self._error(f"still runs after {timeout:g} s") from None

    def kill(self) -> None:
        """SIGKILL the main process alone, as the kernel does when memory runs out, and reap it."""
        self._family.look()
        process = self._running()
        process.kill()
        process.wait()

    def reap(self) -> None:
        """End everything this worker has started, the group and whoever left it. Idempotent."""
        if self._process is None:
            return
        self._family.kill()
        self._process.wait()

    # --- signals ------------------------------------------------------------------------------

    def signal(self, number: int = SIGTERM) -> None:
        """Send a signal to the main process only, as Kubernetes does."""
        self._family.look()
        self._running().send_signal(number)

    def signal_group(self, number: int = SIGTERM) -> None:
        """Send a signal to the whole process group, as systemd does."""
        self._family.look()
        os.killpg(self._running().pid, number)

    # --- what can be seen ---------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The main process."""
        return self._running().pid

    @property
    def exit_code(self) -> int | None:
        """The main process's exit code, ``None`` while it runs."""
        return self._running().poll()

    def children(self) -> list[int]:
        """The pids of all living descendants, oldest first; zombies do not count."""
        return self._family.look()

    def log(self) -> str:
        """All that the worker has written so far."""
        return self.logfile.read_text(errors="replace")

    def wait_log(self, pattern: str, timeout: float = 60.0) -> re.Match[str]:
        """Wait until the log matches the regular expression ``pattern``."""
        found = self._wait(lambda: re.search(pattern, self.log()), timeout, f"no log of {pattern}")
        assert found is not None  # else the wait had raised
        return found

    # --- inside -------------------------------------------------------------------------------

    def _wait(self, condition: Callable[[], T], timeout: float, complaint: str) -> T:
        def reason() -> str:
            return str(self._error(complaint))

        return wait_for(condition, timeout, reason, error=WorkerError)

    def _running(self) -> Forked | subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"worker {self.name} is not started")
        return self._process

    def _error(self, complaint: str) -> WorkerError:
        tail = "\n".join(self.log().splitlines()[-TAIL:])
        return WorkerError(f"worker {self.name} {complaint}\n--- its log, {self.logfile}\n{tail}")

    def __enter__(self) -> Worker:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.reap()


def _temporary_log() -> Path:
    fd, path = tempfile.mkstemp(prefix="worker-", suffix=".log")
    os.close(fd)
    return Path(path)


def forget_started() -> None:
    """Reap the workers of a test and remove their temporary logs; called after each test."""
    while started:
        worker = started.pop()
        worker.reap()
        if worker._temporary:
            worker.logfile.unlink(missing_ok=True)

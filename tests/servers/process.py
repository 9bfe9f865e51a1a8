"""What all servers share: a free port, a process that is waited for and always ended."""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from tests.lifeline import bound_to_this_process

HOST = "127.0.0.1"
_PORTS = range(15_000, 32_000)  # below what systems give to outgoing connections
# Not the module's functions: Hypothesis seeds those, and processes beside each other would choose
# the same ports.
_CHOICE = random.SystemRandom()


class ServerError(RuntimeError):
    """A server did not start; the message ends with what it wrote."""


class MissingProgram(Exception):
    """A server's program is not installed; says which, and how to get it."""

    def __init__(self, program: str, how: str) -> None:
        super().__init__(f"the program {program} is missing; {how}")


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    for _ in range(200):
        port = _CHOICE.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ServerError(f"found no free port in {_PORTS} after 200 tries")


class Process:
    """One program of a server, in a session of its own, its output in a file.

    Args:
        argv: the command.
        log: the file that gets stdout and stderr.
        env: the whole environment; this process's own when ``None``.
        user: the user to run it as; root may change it.
        stdin: ``subprocess.PIPE`` to keep a pipe to it open.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        self.log = log
        self.name = Path(argv[0]).name
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                bound_to_this_process(argv, user=user),
                cwd=log.parent,
                env=env,
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        atexit.register(self.kill)

    @property
    def pid(self) -> int:
        """The process, which leads its group."""
        return self.popen.pid

    def wait_until(self, answers: Callable[[], bool], timeout: float) -> None:
        """Wait until ``answers()`` is true.

        Raises:
            ServerError: the program ended, or ``timeout`` seconds went by.
        """
        deadline = time.monotonic() + timeout
        while True:
            late = time.monotonic() > deadline  # before the look: it may take long itself
            answered = answers()
            # Also after an answer: it may have come from another program, which has the port.
            if (code := self.popen.poll()) is not None:
                raise ServerError(f"{self.name} ended with {code}\n{self.tail()}")
            if answered:
                return
            if late:
                self.kill()
                raise ServerError(f"{self.name} not up after {timeout:g} s\n{self.tail()}")
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM, grace: float = 10.0) -> None:
        """Ask it to end, kill it when it has not ended after ``grace`` seconds. Idempotent."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
            try:
                self.popen.wait(grace)
            except subprocess.TimeoutExpired:
                self.kill()
        self.kill()

    def kill(self) -> None:
        """SIGKILL the whole group and reap it. Idempotent."""
        atexit.unregister(self.kill)
        if self.popen.stdin is not None:
            self.popen.stdin.close()
        if self.popen.returncode is not None:
            return
        with suppress(ProcessLookupError):  # it has just ended
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()

    def tail(self, lines: int = 40) -> str:
        """The last lines of what it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


_S = TypeVar("_S", bound="Server")


class Server:
    """A server in a folder of its own, which ends with the ``with`` block.

    Kinds of servers set ``_folder``, define ``start``, and keep their program in ``_process``.
    """

    _folder: Path
    _process: Process | None = None

    def start(self: _S) -> _S:
        """Start it and wait until it answers."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """Its main process."""
        return self._running().pid

    def kill(self) -> None:
        """SIGKILL it, as a crash does. ``start`` brings it back with what was durable."""
        self._running().kill()

    def close(self) -> None:
        """End it and remove its folder. Idempotent."""
        if self._process is not None:
            self._end(self._process)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, process: Process) -> None:
        process.kill()

    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError("the server is not started")
        return self._process

    def __enter__(self: _S) -> _S:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

"""Python processes without the cost of their imports: forked from one that has imported Celery.

Importing the worker costs 1.5 s of processor time. A forked process has its own session,
environment, arguments and working directory, also as ``/proc`` shows them, and dies with the test
run. What differs from a new process: modules are imported already, and all share one hash seed.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from tests.harness.forkserver_main import HEADER
from tests.lifeline import bound_to_this_process

ROOT = Path(__file__).resolve().parents[2]
#: With ``GRACEFUL_COLD_START=1`` no process is forked.
COLD = "GRACEFUL_COLD_START"
# Variables that are read when modules are imported or Python starts.
_READ_EARLY = (
    *("PYTHON", "LC_", "LANG", "LD_", "KOMBU_", "MP_", "C_STRICT", "C_WARN", "C_IMP"),
    *("REMAP_SIGTERM", "AUTOSCALE_", "CELERY_TRACE_APP", "CELERY_WORKER_", "FORKED_BY_"),
)
_PATCHED = {"gevent", "eventlet"}


class Forked:
    """A forked process, with what tests use of ``subprocess.Popen``."""

    def __init__(self, server: _Server, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server = server

    def poll(self) -> int | None:
        """The exit code, negative for a signal; ``None`` while it runs."""
        if self.returncode is None:
            self.returncode = self._server.ask({"poll": self.pid})["code"]
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends.

        Raises:
            subprocess.TimeoutExpired: it still runs after ``timeout`` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.001
        while (code := self.poll()) is None:
            if timeout is not None and deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(pause)
            pause = min(pause * 2, 0.02)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL it."""
        self.send_signal(signal.SIGKILL)


class _Server:
    """The process that forks; it dies with this one."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._lock = threading.Lock()
        self._connection, other = socket.socketpair()
        self._environ = dict(os.environ)
        program = Path(__file__).with_name("forkserver_main.py")
        argv = [sys.executable, str(program), str(other.fileno()), str(ROOT)]
        with other:
            self._process = subprocess.Popen(
                bound_to_this_process(argv),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                start_new_session=True,
            )
        atexit.register(self.close)

    def fits(self, env: Mapping[str, str]) -> bool:
        """Whether nothing differs that a child could not make up for."""
        return _early(env) == _early(self._environ)

    def ask(self, request: Mapping[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        """Send a request; returns the answer."""
        body = json.dumps(request).encode()
        with self._lock:
            socket.send_fds(self._connection, [len(body).to_bytes(HEADER, "big")], fds)
            self._connection.sendall(body)
            size = int.from_bytes(self._receive(HEADER), "big")
            return dict(json.loads(self._receive(size)))

    def close(self) -> None:
        """End it, and what it has forked with it."""
        if os.getpid() != self.owner:
            return
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _receive(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            part = self._connection.recv(size - len(found))
            if not part:
                raise RuntimeError(f"the fork server ended with {self._process.wait()}")
            found += part
        return found


_server: _Server | None = None


def start(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    output: IO[bytes],
    errors: IO[bytes] | None = None,
    source: IO[bytes] | None = None,
    cwd: Path = ROOT,
    cold: bool = False,
) -> Forked | subprocess.Popen[bytes]:
    """Start ``argv``, forked if it is a Python that can be, in a session of its own.

    Args:
        argv: the command.
        env: its whole environment.
        output: what it writes to stdout.
        errors: what it writes to stderr; ``None``: with stdout.
        source: what it reads from stdin; ``None``: nothing.
        cwd: its working directory.
        cold: start a new process in any case.
    """
    errors = output if errors is None else errors
    server = None if cold else _server_for(argv, env)
    if server is None:
        return subprocess.Popen(
            bound_to_this_process(argv),
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL if source is None else source,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
    request = {"argv": list(argv), "env": dict(env), "cwd": str(cwd)}
    with open(os.devnull, "rb") as nothing:
        fds = [(source or nothing).fileno(), output.fileno(), errors.fileno()]
        return Forked(server, server.ask(request, fds)["pid"])


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout: float,
    stdin: str = "",
    cwd: Path = ROOT,
) -> subprocess.CompletedProcess[str]:
    """As ``subprocess.run`` with its output captured as text.

    Raises:
        subprocess.TimeoutExpired: it was killed after ``timeout`` seconds.
    """
    with ExitStack() as stack:
        source, output, errors = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        source.write(stdin.encode())
        source.seek(0)
        process = start(argv, env=env, output=output, errors=errors, source=source, cwd=cwd)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        errors.seek(0)
        told, warned = output.read().decode(), errors.read().decode()
    return subprocess.CompletedProcess(argv, code, told, warned)


def _server_for(argv: Sequence[str], env: Mapping[str, str]) -> _Server | None:
    global _server
    if sys.platform != "linux" or os.environ.get(COLD) == "1":
        return None
    if argv[0] != sys.executable or _PATCHED.intersection(argv):
        return None
    if argv[1] not in ("-m", "-c") and argv[1].startswith("-"):
        return None  # an option of Python
    if _server is None or _server.owner != os.getpid():
        _server = _Server()
    return _server if _server.fits(env) else None


def _early(env: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in env.items() if key.startswith(_READ_EARLY)}

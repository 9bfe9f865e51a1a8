"""One session of pytest over Celery's tests, with the plugin or without, on given servers."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.celery_suite.outcomes import Session, read
from tests.lifeline import bound_to_this_process
from tests.servers import RabbitMQ, Valkey

BROKERS = ("redis", "rabbitmq")
HERE = Path(__file__).resolve().parent
#: Seconds for a session.
SESSION_TIMEOUT = 3600.0


class Urls(NamedTuple):
    broker: str
    backend: str


class Servers:
    """A result backend, and a broker, for each session: none sees what another has left."""

    def __init__(self, broker: str) -> None:
        self._rabbitmq = RabbitMQ() if broker == "rabbitmq" else None

    @contextmanager
    def empty(self) -> Iterator[Urls]:
        """Empty servers; some of the tests connect to database 0 by themselves."""
        with Valkey() as valkey:
            if self._rabbitmq is None:
                yield Urls(valkey.url, valkey.url)
            else:
                with self._rabbitmq.vhost() as broker:
                    yield Urls(broker, valkey.url)

    def __enter__(self) -> Servers:
        if self._rabbitmq is not None:
            self._rabbitmq.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._rabbitmq is not None:
            self._rabbitmq.close()


@dataclass(frozen=True)
class Sessions:
    """Runs sessions on one Celery and one kind of broker, both sides beside each other.

    Attributes:
        python: of the environment that has the Celery release and this package.
        tree: the fetched tests of that release.
        folder: where logs and records go.
        longest: seconds after which a test is cut off, and fails.
    """

    python: Path
    tree: Path
    folder: Path
    servers: Servers
    longest: float

    def pair(self, name: str, tests: Sequence[str]) -> tuple[Session, Session]:
        """Run tests without the plugin and with it at the same time, so under the same load."""
        with self.servers.empty() as one, self.servers.empty() as other:
            without = self._start(f"{name}-without", tests, one, graceful=False)
            graceful = self._start(f"{name}-with", tests, other, graceful=True)
            deadline = time.monotonic() + SESSION_TIMEOUT
            for process in (without, graceful):
                _end(process, deadline)
        return (
            read(self.folder / f"{name}-without.jsonl"),
            read(self.folder / f"{name}-with.jsonl"),
        )

    def _start(
        self, name: str, tests: Sequence[str], urls: Urls, *, graceful: bool
    ) -> subprocess.Popen[bytes]:
        record = self.folder / f"{name}.jsonl"
        record.unlink(missing_ok=True)
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                bound_to_this_process([str(self.python), "-m", "pytest", *_OPTIONS, *tests]),
                cwd=self.tree,
                env=self._environment(urls, record, graceful),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _environment(self, urls: Urls, record: Path, graceful: bool) -> dict[str, str]:
        temporary = record.with_suffix(".tmp")
        temporary.mkdir(exist_ok=True)
        paths = [HERE / "recorder", *([HERE / "installer"] if graceful else [])]
        backend = urlsplit(urls.backend)
        others = ("PYTEST", "GRACEFUL", "CELERY", "TEST_", "PYTHON")
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(others)},
            "CELERY_SUITE_LONGEST": str(self.longest),
            "CELERY_SUITE_RECORD": str(record),
            # Some tests start the program `celery` by its name.
            "PATH": os.pathsep.join([str(self.python.parent), os.environ.get("PATH", "")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "REDIS_HOST": str(backend.hostname),
            "REDIS_PORT": str(backend.port),
            "TEST_BACKEND": urls.backend,
            "TEST_BROKER": urls.broker,
            "TMPDIR": str(temporary),
        }


#: Without pytest-rerunfailures: a test that passes at the third attempt only is not the same as
#: one that passes at the first. And without the pytest plugins that come with the packages here.
_OPTIONS = (
    *("-p", "celery.contrib.pytest", "-p", "celery_suite_recorder", "-p", "no:cacheprovider"),
    *("-p", "no:graceful", "-p", "no:valkey", "-p", "no:rerunfailures", "-p", "no:randomly"),
    *("-v", "-rA", "--tb=short", "--timeout-method=signal"),
)


def _end(process: subprocess.Popen[bytes], deadline: float) -> None:
    try:
        process.wait(max(1.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.terminate()
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """What tests have left too: all that the session started is in its group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

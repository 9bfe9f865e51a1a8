"""A project that has much around it at once: none of it changes, and its run outlives its workers.

TLS with a private authority, Sentinel, key prefixes, Flask's ``task_cls``, ``task_ignore_result``
and sentry-sdk, each the real one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from celery_graceful.demo import work
from tests.harness import Ledger, Worker, producer, wait_for
from tests.harness.forkserver import run
from tests.harness.line_files import whole_lines
from tests.servers import Valkey
from tests.servers.process import HOST
from tests.servers.sentinel import Sentinel
from tests.servers.tls import Tls

pytestmark = pytest.mark.slow

APP = "tests.acceptance.apps.whole"
TASK, PLAIN = "whole.survey_files", "whole.plain"
PREFIX = "team:"
FILES = 600
#: Seconds for an item; at most what ran since a checkpoint is repeated after a kill.
PAUSE, FLUSH = 0.03, 0.5


class Project:
    """Its servers, settings and workers."""

    def __init__(
        self, folder: Path, start_worker: Callable[..., Worker], settings: dict[str, Any]
    ) -> None:
        self.ledger = Ledger(folder / "ledger.jsonl")
        self.plain = Ledger(folder / "plain.jsonl")
        self.sentry = folder / "sentry.jsonl"
        self._start = start_worker
        self.workers: list[Worker] = []
        self._env = {
            "SETTINGS": json.dumps(settings),
            "SENTRY_FILE": str(self.sentry),
            "LEDGER": str(self.plain.path),
        }

    def start_workers(self, count: int) -> list[Worker]:
        """Start workers beside each other and wait until they are ready."""
        options = {"args": ["-c", "1", "--without-mingle"], "env": self._env}
        self.workers = [self._start(APP, name=f"w{number}", **options) for number in range(count)]
        return [worker.wait_ready() for worker in self.workers]

    def owner(self) -> Worker:
        """The worker whose child has surveyed the last file."""
        pid = self.ledger.entries()[-1].pid
        (found,) = (worker for worker in self.workers if pid in worker.children())
        return found

    def command(self, *words: str) -> Any:
        """What ``celery graceful … --json`` answers."""
        done = run(
            [*(sys.executable, "-m", "celery", "-A", APP, "graceful"), *words, "--json"],
            env={**os.environ, **self._env},
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def wait_files(self, least: int) -> None:
        """Wait until so many files were surveyed."""
        wait_for(
            lambda: len(self.ledger) >= least,
            60,
            lambda: f"{least} files, got {len(self.ledger)}",
        )

    def sent(self, kind: str) -> list[dict[str, Any]]:
        """What Sentry got of one kind."""
        return [item for item in map(json.loads, whole_lines(self.sentry)) if item["type"] == kind]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Valkey, Valkey, dict[str, Any]]]:
    """The broker behind TLS, the store behind a Sentinel, and the settings for both."""
    with (
        Valkey() as broker,
        Valkey(appendonly=True) as store,
        Tls(broker.port, tmp_path) as tls,
        Sentinel(store.port) as sentinel,
    ):
        yield (
            broker,
            store,
            {
                "broker_url": f"rediss://{HOST}:{tls.port}/0",
                "broker_use_ssl": {"ssl_ca_certs": str(tls.ca), "ssl_cert_reqs": "required"},
                "broker_transport_options": {"global_keyprefix": PREFIX},
                "result_backend": sentinel.url,
                "result_backend_transport_options": {
                    "master_name": sentinel.name,
                    "global_keyprefix": PREFIX.rstrip(":"),
                },
                "graceful_store": f"{sentinel.url}?master_name={sentinel.name}",
                "graceful_store_options": {"global_keyprefix": PREFIX},
                "graceful_lease_ttl": "3s",
                "graceful_checkpoint_interval": FLUSH,
            },
        )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of files to work."""
    folder = tmp_path / "files"
    for number in range(FILES):
        file = folder / f"part{number % 7}" / f"file{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# {number}\n" * (number % 5))
    return folder


def test_a_run_outlives_a_stop_and_a_kill(
    tmp_path: Path,
    servers: tuple[Valkey, Valkey, dict[str, Any]],
    start_worker: Callable[..., Worker],
    root: Path,
) -> None:
    broker, store, settings = servers
    project = Project(tmp_path, start_worker, settings)
    notes = project.ledger
    workers = project.start_workers(3)
    with producer(settings["broker_url"], settings["result_backend"], **settings) as app:
        sent = app.send_task(TASK, (str(root), str(notes.path), PAUSE))
        project.wait_files(30)
        stopped = project.owner()
        stopped.signal()
        assert stopped.wait() == 0
        at_stop = len(notes)
        project.wait_files(at_stop + 30)

        killed = project.owner()
        killed.signal_group(signal.SIGKILL)
        killed.wait()
        at_kill = len(notes)
        project.wait_files(at_kill + 30)

        app.send_task(PLAIN)
        Path(f"{notes.path}.hurry").touch()
        wait_for(lambda: notes.items()[-1].startswith("{"), 60, "the run's end")
        wait_for(lambda: project.plain.items() == ["whole"], 20, "the plain task, in Flask's app")
        left = project.owner()
    left.signal()
    assert left.wait() == 0
    assert {stopped, killed, left} == set(workers)

    *noted, sums = notes.items()
    expected = work.by_plain_loop(str(root))
    counts = Counter(noted)
    assert json.loads(sums) == expected.sums
    assert list(counts) == [f"whole:{name}" for name in expected.names]
    assert max(counts.values()) <= 2
    assert len(noted) - FILES <= FLUSH / PAUSE + 2
    assert len(set(noted[:at_kill])) == at_kill  # what was stopped was not repeated
    assert project.command("show", sent.id)["run"]["state"] == "completed"
    assert project.command("doctor")["findings"] == []
    _check_keys(broker, store)
    _check_sentry(project)
    for worker in workers:
        assert "Traceback" not in worker.log()
        assert "ERROR" not in worker.log()


def _check_keys(broker: Valkey, store: Valkey) -> None:
    """Nobody has written outside of the project's prefix."""
    for server in (broker, store):
        with server.client() as client:
            keys = [key.decode() for key in client.scan_iter()]
        assert all(key.startswith(PREFIX.rstrip(":")) for key in keys), keys
    with store.client() as client:
        assert any(client.scan_iter(f"{PREFIX}graceful:*"))


def _check_sentry(project: Project) -> None:
    """An interruption is neither an error nor an abort; what was killed could send nothing."""
    assert project.sent("event") == []
    statuses = Counter(
        (item["transaction"], item["contexts"]["trace"]["status"])
        for item in project.sent("transaction")
    )
    assert statuses == {(TASK, "ok"): 2, (PLAIN, "ok"): 1}

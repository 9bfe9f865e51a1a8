"""The registry knows what runs, and who comes after a crash ends what was left."""

from __future__ import annotations

import gc
import os
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from celery_graceful import background_process, processes, ready
from celery_graceful.errors import ProcessError
from celery_graceful.processes import ending, registry
from celery_graceful.processes.guardian_link import start_guardian
from celery_graceful.processes.start_options import TAG
from tests.harness import wait_for

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture(autouse=True)
def _own_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert not list(registry.folder().iterdir())


def test_what_runs_is_in_it() -> None:
    with background_process(["sleep", "60"], grace=3) as process:
        (entry,) = registry.entries()
        assert (entry.command, entry.owner, entry.task) == ("sleep 60", os.getpid(), "-")
        assert (entry.stop_signal, entry.grace) == (signal.SIGTERM, 3)
        assert entry.pid == process.pid
        assert entry.tag in psutil.Process(process.pid).environ().values()
        assert registry.sweep() == [], "its guardian lives"
        process.check()
    assert registry.entries() == []


def test_what_cannot_be_run_is_not_in_it() -> None:
    with pytest.raises(FileNotFoundError):
        background_process(["no-tunnel"])
    assert registry.entries() == []


def test_what_a_killed_guardian_left_is_ended(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """As after a crash that took owner and guardian, and left a daemon."""
    up = ready.path(tmp_path / "up")
    script = f"(setsid sh -c 'touch {tmp_path}/up; exec sleep 600' &); exec sleep 600"
    owner = os.fork()
    if owner == 0:
        try:
            with background_process(["sh", "-c", script], ready=up):
                os.kill(os.getpid(), signal.SIGSTOP)
        finally:
            os._exit(1)
    os.waitpid(owner, os.WUNTRACED)
    guardian, *family = psutil.Process(owner).children(recursive=True)
    guardian.kill()
    os.kill(owner, signal.SIGKILL)
    os.waitpid(owner, 0)
    (entry,) = registry.entries()
    left = [one for one in family[1:] if one.is_running() and one.status() != "zombie"]
    assert left, "the daemon outlived its guardian"
    wait_for(lambda: registry.sweep() == [entry])  # once the guardian has let go of its lock
    wait_for(lambda: not any(one.is_running() for one in left))
    assert "had outlived its guardian" in caplog.text


class Forsaken:
    """As after a crash: an entry, no guardian, and a process with its tag."""

    def __init__(self, *argv: str, by: str = "") -> None:
        command = f"{by}{shlex.join(argv)}"
        entered = registry.register("left", command, ("shop.x", "1"), signal.SIGTERM, 0.1)
        assert entered is not None
        self.path, lock = entered
        os.close(lock)
        self.process = subprocess.Popen(argv, env={**os.environ, TAG: "left"})

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def test_what_outlives_sigkill_stays_in_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As one that hangs in the kernel."""
    left = Forsaken("sleep", "600")
    with monkeypatch.context() as patch:
        patch.setattr(ending, "_send", lambda processes, number: None)
        patch.setattr(ending, "_KILL_PATIENCE", 0.1)
        registry.sweep()
    assert left.path.exists()
    assert f"is still there after SIGKILL: pid {left.process.pid}" in caplog.text
    assert "Ended" not in caplog.text
    assert len(registry.sweep()) == 1
    assert not left.path.exists()
    left.end()


def test_what_cannot_be_looked_into_stays_in_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As what sudo has started, which is root's."""
    left, environ = Forsaken("sleep", "600", by="sudo -n "), psutil.Process.environ
    with monkeypatch.context() as patch:

        def denied(process: psutil.Process) -> dict[str, str]:
            if process.pid == left.process.pid:
                raise psutil.AccessDenied(process.pid)
            return dict(environ(process))

        patch.setattr(psutil.Process, "environ", denied)
        assert registry.sweep() == []
    assert left.path.exists()
    assert "sudo -n sleep 600 of task shop.x[1] may still run" in caplog.text
    left.end()
    registry.sweep()
    assert not left.path.exists()


@pytest.mark.parametrize("psutil_there", [True, False])
def test_what_was_stopped_before_it_began_is_not_in_it(
    monkeypatch: pytest.MonkeyPatch, psutil_there: bool
) -> None:
    """Its owner lets go before the guardian has its orders."""

    def given_up(*args: Any) -> Any:
        link = start_guardian(*args)
        link.let_go()
        return link

    with monkeypatch.context() as patch:
        patch.setattr("celery_graceful.processes.handle.start_guardian", given_up)
        if not psutil_there:
            patch.delattr(processes, "ending")
            patch.setitem(sys.modules, "celery_graceful.processes.ending", None)
        with pytest.raises(ProcessError, match="was not started"):
            background_process(["sleep", "600"])
    assert registry.entries() == []


def test_what_was_begun_and_not_finished_is_removed() -> None:
    draft, fresh = registry.folder() / "abc.old", registry.folder() / "abc.fresh"
    draft.touch()
    fresh.touch()
    os.utime(draft, (0, 0))
    assert registry.sweep() == []
    assert list(registry.folder().iterdir()) == [fresh]
    fresh.unlink()


def test_a_folder_of_somebody_else_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = registry.folder()
    folder.chmod(0o777)
    with pytest.raises(ProcessError, match="own folder"):
        registry.folder()
    with background_process(["sleep", "60"]) as process:
        process.check()
    assert "cannot be registered" in caplog.text
    folder.chmod(0o700)


def test_a_full_disk_costs_no_descriptors(caplog: pytest.LogCaptureFixture) -> None:
    registry.folder()
    gc.collect()
    before, limits = len(os.listdir("/dev/fd")), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        entered = registry.register("a", "tunnel", ("-", "-"), signal.SIGTERM, 1.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert entered is None
    assert "cannot be registered" in caplog.text
    gc.collect()
    assert len(os.listdir("/dev/fd")) <= before


def test_workers_that_start_together() -> None:
    for number in range(100):
        entered = registry.register(str(number), "tunnel", ("-", "-"), signal.SIGTERM, 0.0)
        assert entered is not None
        os.close(entered[1])  # as if its guardian had been killed
    with ThreadPoolExecutor() as workers:
        for sweep in [workers.submit(registry.sweep) for _ in range(4)]:
            assert sweep.result(60) == []


#: Starts a command with the tag, says its pid, and never reaps it.
CARELESS = f"""
import os, subprocess, sys
child = subprocess.Popen(["sleep", "600"], env={{**os.environ, "{TAG}": "left"}})
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_who_has_ended_is_not_waited_for_though_nobody_reaps_it() -> None:
    """A zombie is still in the process table; its parent may live for as long as it likes."""
    with subprocess.Popen(
        [sys.executable, "-c", CARELESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        began = time.monotonic()
        assert ending.end_tagged("left", signal.SIGTERM, grace=20) == ([pid], [])
        took = time.monotonic() - began
        assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        parent.communicate()
    assert took < 10, "it ended at once"

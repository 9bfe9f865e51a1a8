"""From asking to killing: what is sent, when, and to whom."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from celery_graceful import background_process, ready
from celery_graceful.grace.deadlines import OWN_PART
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.processes import handle
from celery_graceful.stop import flag
from tests.harness import wait_for
from tests.harness.trials import best_of

pytestmark = pytest.mark.usefixtures("nothing_left")

UP = ready.log_line("up")
STUBBORN = "trap '' TERM; echo up; while :; do sleep 600; done"


def trapping(name: str) -> str:
    return f"trap 'echo got {name}; exit 0' {name}; echo up; while :; do sleep 600 & wait; done"


def test_a_signal_of_ones_own_choice() -> None:
    # What the shell has put into the background ignores this one until the grace period ends.
    with background_process(
        ["sh", "-c", trapping("INT")], stop_signal=signal.SIGINT, ready=UP, grace=0.5
    ) as process:
        pass
    assert process.output_tail == "up\ngot INT\n"
    assert process.returncode == 0


def test_a_stop_command_instead_of_a_signal(tmp_path: Path) -> None:
    script = (
        f"trap '' TERM; echo up; while [ ! -e {tmp_path}/leave ]; do sleep 0.05; done; echo left"
    )
    with background_process(
        ["sh", "-c", script], stop_command=["touch", tmp_path / "leave"], ready=UP
    ) as process:
        pass
    assert process.output_tail == "up\nleft\n"


@pytest.mark.parametrize("command", [["no-such-command"], ["false"]])
def test_a_stop_command_that_fails(command: list[str], caplog: pytest.LogCaptureFixture) -> None:
    with background_process(
        ["sh", "-c", trapping("TERM")], stop_command=command, ready=UP
    ) as process:
        pass
    assert process.returncode == 0
    assert "its stop command" in caplog.text
    assert "it got the stop signal" in caplog.text


def test_a_stop_command_that_cannot_even_be_forked(caplog: pytest.LogCaptureFixture) -> None:
    """Its guardian may open one more file, which is too few; the daemon has to be killed."""
    daemon = "trap '' TERM; echo up; while :; do sleep 600; done"
    script = f'(setsid sh -c "{daemon}" &); exec sleep 600'
    with background_process(
        ["sh", "-c", script], stop_command=["true"], ready=UP, grace=0.3
    ) as process:
        guardian = psutil.Process(process.pid).parent()
        open_files = guardian.num_fds()
        guardian.rlimit(psutil.RLIMIT_NOFILE, (open_files + 1, open_files + 1))
    assert process.returncode == -signal.SIGTERM
    assert "its stop command cannot be run" in caplog.text


def test_a_stop_command_that_hangs() -> None:
    began = time.monotonic()
    with background_process(["sleep", "60"], stop_command=["sleep", "61"], grace=0.3) as process:
        pass
    assert process.returncode == -signal.SIGKILL
    assert time.monotonic() - began < 9


def test_the_group_is_asked_once_and_who_is_left_is_asked_too(tmp_path: Path) -> None:
    note = f"echo $0 >> {tmp_path}/asked"
    # It is at work on its end when the command has ended already.
    end = f"{note}; sleep 0.3; exit"
    child = f"trap '{end}' TERM; touch {tmp_path}/$0; while :; do sleep 600 & wait; done"
    (tmp_path / "child.sh").write_text(child)
    script = (
        f"sh -c '. {tmp_path}/child.sh' member & "
        f"(setsid sh -c '. {tmp_path}/child.sh' daemon &); trap 'exit 0' TERM; "
        "while :; do sleep 600 & wait; done"
    )

    def both() -> bool:
        return (tmp_path / "member").exists() and (tmp_path / "daemon").exists()

    with background_process(["sh", "-c", script], ready=both, grace=20):
        began = time.monotonic()
    assert time.monotonic() - began < 10, "nobody had to be killed"
    assert sorted((tmp_path / "asked").read_text().split()) == ["daemon", "member"]


def test_one_that_was_halted_is_asked_too() -> None:
    with background_process(["sh", "-c", trapping("TERM")], ready=UP) as process:
        os.kill(process.pid, signal.SIGSTOP)
        wait_for(lambda: psutil.Process(process.pid).status() == "stopped")
    assert process.returncode == 0


def test_the_grace_is_cut_to_what_the_worker_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = flag.owned("worker")
    try:
        shared.raise_(StopReason.SHUTDOWN)
        shared.set_deadline(time.monotonic() + 0.5)
        began = time.monotonic()
        with background_process(["sh", "-c", STUBBORN], grace=60, ready=UP) as process:
            pass
        assert time.monotonic() - began < 30
        assert process.returncode == -signal.SIGKILL
    finally:
        flag.withdraw()


@contextmanager
def cut_now(margin: float) -> Iterator[None]:
    """A worker that cuts its tasks off in this moment, and is killed after so many seconds."""
    shared = flag.owned("worker")
    try:
        shared.set_deadline(time.monotonic() + margin)
        shared.set_cut(time.monotonic())
        shared.raise_(StopReason.SHUTDOWN, cold=True)
        yield
    finally:
        flag.withdraw()


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is always given is enough for a machine that stalls."""
    monkeypatch.setattr(handle, "_LEAST", 20.0)


@pytest.mark.usefixtures("_patient")
@pytest.mark.parametrize("margin", [0.0, 60.0])
def test_at_the_cut_a_well_behaved_process_is_asked(margin: float) -> None:
    script = trapping("TERM")
    with ExitStack() as stop, background_process(["sh", "-c", script], ready=UP) as process:
        stop.enter_context(cut_now(margin))
    assert process.output_tail == "up\ngot TERM\n"
    assert process.returncode == 0


@pytest.mark.usefixtures("_patient")
@pytest.mark.parametrize("margin", [0.0, 60.0])
def test_at_the_cut_a_stop_command_runs(margin: float, tmp_path: Path) -> None:
    script = f"trap '' TERM; echo up; while [ ! -e {tmp_path}/leave ]; do sleep 0.02; done"
    command = ["sh", "-c", f"sleep 0.3; touch {tmp_path}/leave"]
    options: Any = {"stop_command": command, "ready": UP}

    with ExitStack() as stop, background_process(["sh", "-c", script], **options) as process:
        stop.enter_context(cut_now(margin))
    assert process.returncode == 0


def test_at_the_cut_the_block_ends_before_the_task_is_killed() -> None:
    """Its process takes all the time that it gets, which is not half of what is left."""
    margin = 10.0
    assert OWN_PART * margin < margin / 2
    process = background_process(["sh", "-c", STUBBORN], grace=60, ready=UP)
    with cut_now(margin):
        began = time.monotonic()
        process.stop()
        assert time.monotonic() - began < margin
    assert process.returncode == -signal.SIGKILL


def test_without_grace_it_is_asked_all_the_same() -> None:
    def trial() -> None:
        with background_process(["sh", "-c", trapping("TERM")], ready=UP, grace=0) as process:
            pass
        assert process.output_tail == "up\ngot TERM\n"

    best_of(trial)


def test_an_exception_in_the_middle_does_not_keep_it_from_being_asked() -> None:
    def trial() -> None:
        process = background_process(["sh", "-c", trapping("TERM")], ready=UP)
        process._handle._send_stop(0.0)
        process.stop()
        assert process.output_tail == "up\ngot TERM\n"

    best_of(trial)


def test_a_worker_that_stops_meanwhile_cuts_the_grace() -> None:
    shared = flag.owned("worker")
    try:
        process = background_process(["sh", "-c", STUBBORN], grace=60, ready=UP)
        stopping = threading.Thread(target=process.stop)
        stopping.start()
        wait_for(lambda: process._handle.report.asked)
        shared.raise_(StopReason.SHUTDOWN)
        shared.set_deadline(time.monotonic() + 0.5)
        stopping.join(30)
        assert process.returncode == -signal.SIGKILL
    finally:
        flag.withdraw()


def test_a_deep_family_is_killed_level_by_level(tmp_path: Path) -> None:
    (tmp_path / "level").write_text(
        f"trap '' TERM; [ $1 = 0 ] || setsid sh {tmp_path}/level $(($1 - 1)) & sleep 600; :"
    )
    script = f"sh {tmp_path}/level 3 & echo up; sleep 600"
    with background_process(["sh", "-c", script], grace=0.2, ready=UP) as process:
        guardian = psutil.Process(process.pid).parent()
        wait_for(lambda: len(guardian.children(recursive=True)) >= 8)
        family = guardian.children(recursive=True)
    assert not any(one.is_running() for one in family)


def test_many_at_once() -> None:
    processes = [background_process(["sleep", "60"]) for _ in range(8)]
    for process in processes:
        process.stop()
    assert {process.returncode for process in processes} == {-signal.SIGTERM}

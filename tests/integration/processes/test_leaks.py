"""Processes that tasks leave behind, with real ones and Celery's own way to run a task."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import Celery, signals
from celery.app.trace import build_tracer

from celery_graceful import at_task_exit, background_process
from celery_graceful.processes import leaks
from celery_graceful.processes.leaks import descendants
from celery_graceful.processes.leaks.left_behind import last_output
from tests.harness import wait_for
from tests.integration.processes.leavers import (
    SLEEP,
    age,
    child,
    daemon,
    end,
    gone,
    orphan,
    stubborn,
)

#: Starts the next child when one is ended.
RESPAWNS = "trap 'sleep 600' TERM; sleep 600"


def _call(function: Callable[[], Any]) -> None:
    function()


class Tasks:
    """Runs functions as tasks, as a pool child does, and reads the log."""

    def __init__(self, app: Celery, caplog: pytest.LogCaptureFixture) -> None:
        self.call = app.task(name="leaks.call", ignore_result=True, shared=False)(_call)
        self._app = app
        self._trace: Any = None
        self._caplog = caplog
        self._started: list[int] = []

    def run(self, function: Callable[[], Any], task_id: str = "one") -> list[str]:
        """What is logged about the processes that it leaves behind."""
        self._caplog.clear()
        request = {"id": task_id, "is_eager": False, "delivery_info": {}}
        if self._trace is None:
            self._trace = build_tracer("leaks.call", self.call, app=self._app)
        self._trace(task_id, [function], {}, request)
        return self._lines()

    def _lines(self) -> list[str]:
        records = [r for r in self._caplog.records if r.name.startswith("celery_graceful.proc")]
        assert all(record.levelno == logging.WARNING for record in records)
        lines = [record.getMessage() for record in records]
        self._started += [int(pid) for line in lines for pid in re.findall(r"process (\d+)", line)]
        return lines

    def look(self, mode: str, *, overlapping: bool = False) -> Tasks:
        """Have leaks looked for, as the start of a worker does."""
        leaks.install(self._app, mode, tasks_overlap=overlapping)
        return self

    def begins(self, task_id: str) -> None:
        """As a thread or greenlet does, while others run."""
        signals.task_prerun.send(sender=self.call, task_id=task_id, task=self.call)

    def ends(self, task_id: str) -> list[str]:
        """What is logged then."""
        self._caplog.clear()
        signals.task_postrun.send(sender=self.call, task_id=task_id, task=self.call)
        return self._lines()

    def forget(self) -> None:
        for pid in self._started:
            with suppress(psutil.NoSuchProcess):
                end(pid)


def started_by_tasks() -> list[psutil.Process]:
    """What descends from this process since leaks are looked for; servers go on meanwhile."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if descendants.CHILD_TAG in process.environ():
                found.append(process)
    return found


@pytest.fixture
def tasks(caplog: pytest.LogCaptureFixture) -> Iterator[Tasks]:
    app = Celery("leaks", broker="memory://", set_as_current=False)
    tasks = Tasks(app, caplog)
    yield tasks
    leaks.forget()
    tasks.forget()
    app.close()


@pytest.fixture
def warned(tasks: Tasks) -> Tasks:
    return tasks.look("warn")


@pytest.fixture
def killed(tasks: Tasks) -> Tasks:
    return tasks.look("kill")


def test_nothing_is_said_of_tasks_that_clean_up(warned: Tasks) -> None:
    assert warned.run(lambda: None) == []
    assert warned.run(lambda: subprocess.run(["true"], check=True)) == []


@pytest.mark.parametrize("start", [child, orphan, daemon], ids=lambda start: start.__name__)
def test_what_is_left_behind_is_told_once(warned: Tasks, start: Callable[[], int]) -> None:
    pids: list[int] = []
    (line,) = warned.run(lambda: pids.append(start()))
    assert re.fullmatch(
        rf"leaks\.call\[one\] left process {pids[0]} behind: sleep 600 "
        r"\(\d\.\d s old, 0\.\d\d s of CPU\); it runs on",
        line,
    )
    assert warned.run(lambda: None, "two") == []
    os.kill(pids[0], 9)
    if start is child:
        assert os.waitpid(pids[0], 0)[1] == 9  # its status is still the task's to read


def test_descendants_are_told_of_as_well(warned: Tasks) -> None:
    def family() -> None:
        shell = psutil.Process(child("sh", "-c", "sleep 601 & sleep 602; true"))
        wait_for(lambda: sum(c.name() == "sleep" for c in shell.children()) == 2, 5)

    lines = warned.run(family)
    for command in ("sh -c", "sleep 601", "sleep 602"):
        assert any(f"behind: {command}" in line for line in lines), lines


def test_a_later_task_answers_for_its_own_only(warned: Tasks) -> None:
    first = warned.run(child, "one")
    second = warned.run(orphan, "two")
    assert [line.split()[0] for line in first + second] == ["leaks.call[one]", "leaks.call[two]"]


@pytest.mark.parametrize("start", [orphan, daemon, stubborn])
def test_they_are_ended_where_that_is_set(killed: Tasks, start: Callable[[], int]) -> None:
    pids: list[int] = []
    began: list[float] = []

    def leave() -> None:
        pids.append(start())
        began.append(time.monotonic())

    lines = killed.run(leave)
    assert time.monotonic() - began[0] < 10
    assert gone(pids[0]) or start is not stubborn
    wait_for(lambda: gone(pids[0]), 5, "the end of the process")
    assert lines[0].endswith("; it is ended")
    assert ("by SIGKILL" in lines[-1]) == (start is stubborn)
    wait_for(lambda: not started_by_tasks(), 5)


def test_what_they_start_meanwhile_is_ended_too(killed: Tasks) -> None:

    def respawning() -> None:
        shell = psutil.Process(child("sh", "-c", RESPAWNS))
        wait_for(shell.children, 5, "its child")

    killed.run(respawning)
    wait_for(lambda: not started_by_tasks(), 5)


def test_what_was_there_before_stays(killed: Tasks) -> None:
    helper, before = child("sh", "-c", "sleep 600; true"), child()
    assert killed.run(lambda: None, "one") == []
    between = child()
    wait_for(lambda: age(between) > 0.05)  # the kernel counts in hundredths when it began
    assert killed.run(lambda: None, "two") == []
    assert len(killed.run(child, "three")) == 2
    for pid in (helper, before, between):
        assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        end(pid)


def test_what_serves_many_tasks_stays(killed: Tasks) -> None:
    kept: list[Any] = []

    def shares_and_tunnels() -> None:
        multiprocessing.get_context("spawn").Lock()  # starts Python's resource tracker
        kept.append(background_process(SLEEP))

    try:
        assert killed.run(shares_and_tunnels) == []
        assert not gone(kept[0].pid)
        kept[0].check()
    finally:
        kept[0].stop()


def test_an_eager_task_leaves_it_to_the_one_around_it(killed: Tasks) -> None:
    seen: list[bool] = []

    def outer() -> None:
        killed.call.apply((child,))
        seen.append(bool(psutil.Process().children()))

    lines = killed.run(outer)
    assert seen == [True]
    assert lines[0].startswith("leaks.call[one] left process")


def test_what_the_end_of_a_task_ends_was_not_left_behind(warned: Tasks) -> None:
    assert warned.run(lambda: at_task_exit(end, child())) == []


@pytest.fixture
def overlapping(tasks: Tasks) -> Tasks:
    return tasks.look("kill", overlapping=True)


def test_of_tasks_that_overlap_the_one_that_ran_is_told(overlapping: Tasks) -> None:
    overlapping.begins("a")
    pid = child()
    wait_for(lambda: age(pid) > 0.05)
    overlapping.begins("b")
    first, *_ = overlapping.ends("a")
    assert first.startswith(f"leaks.call[a] left process {pid} behind: ")
    assert gone(pid)
    assert overlapping.ends("b") == []


def test_between_tasks_that_overlap_it_is_a_guess_and_nothing_is_ended(overlapping: Tasks) -> None:
    overlapping.begins("a")
    overlapping.begins("b")
    pid = child()
    assert overlapping.ends("a") == []  # it may be the other's, which still runs
    overlapping.begins("c")
    (line,) = overlapping.ends("b")
    either = rf"leaks\.call\[(a\] or leaks\.call\[b|b\] or leaks\.call\[a)\] left process {pid} "
    assert re.match(either + r"behind \(a guess: they ran at the same time\): ", line)
    assert line.endswith("; it runs on")
    assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    assert overlapping.ends("c") == []


def test_without_psutil_it_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tasks: Tasks
) -> None:
    monkeypatch.setattr(leaks, "find_spec", lambda name: None)
    tasks.look("warn")
    assert "pip install 'celery-graceful[processes]'" in caplog.text
    caplog.clear()
    tasks.run(lambda: subprocess.run(["true"], check=True))
    assert "CELERY_GRACEFUL_CHILD" not in os.environ


def test_the_mark_goes_with_the_watch(warned: Tasks) -> None:
    warned.run(lambda: None)
    assert "CELERY_GRACEFUL_CHILD" in os.environ
    leaks.forget()
    assert "CELERY_GRACEFUL_CHILD" not in os.environ


def writing(path: Path, lines: str) -> int:
    """A process that has written to a file, and goes on."""
    with path.open("wb") as file:
        dup = [(os.POSIX_SPAWN_DUP2, file.fileno(), fd) for fd in (1, 2)]
        code = f"printf '{lines}'; exec sleep 600"
        pid = os.posix_spawnp("sh", ["sh", "-c", code], os.environ, file_actions=dup)
    wait_for(lambda: psutil.Process(pid).cmdline() == SLEEP, 10)
    return pid


def test_the_last_lines_that_it_wrote_to_a_file(warned: Tasks, tmp_path: Path) -> None:
    lines = warned.run(lambda: writing(tmp_path / "log", r"one\ntwo\nthree\nno \377 route\n"))
    (line,) = (each for each in lines if "behind" in each)
    assert line.endswith(
        "; it runs on; its last output:\n    two\n    three\n    no \N{REPLACEMENT CHARACTER} route"
    )


def test_a_long_output_is_cut(tmp_path: Path) -> None:
    pid = writing(tmp_path / "log", "x" * 5000)
    try:
        assert last_output(pid) == "x" * 1024
    finally:
        end(pid)


def test_a_file_that_is_only_read_is_no_output(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("what it reads\n")
    with (tmp_path / "data").open("rb") as data:
        process = subprocess.Popen(SLEEP, stdout=data, stderr=data)
    try:
        assert last_output(process.pid) == ""
    finally:
        process.kill()
        process.wait()


def test_no_output_is_told_of_what_shares_that_of_the_worker(tmp_path: Path) -> None:
    before = os.dup(1)
    with (tmp_path / "worker.log").open("wb") as log:
        log.write(b"of the worker\n")
        log.flush()
        os.dup2(log.fileno(), 1)
        pid = child()
        try:
            assert last_output(pid) == ""
        finally:
            os.dup2(before, 1)
            os.close(before)
            end(pid)
    assert last_output(pid) == "", "it has gone"

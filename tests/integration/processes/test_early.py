"""A process that ends by itself is noticed, in the way that was asked for."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from celery_graceful import background_process
from celery_graceful.errors import ProcessEnded
from celery_graceful.processes import BackgroundProcess
from celery_graceful.processes.block_interruption import MainThreadBlock
from tests.harness import wait_for

pytestmark = pytest.mark.usefixtures("nothing_left")

#: Ends once ``tell`` was called.
BRIEF = ["sh", "-c", "while [ ! -e told ]; do sleep 0.02; done; echo lost; exit 5"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def tell() -> None:
    Path("told").touch()


def told(wait: Callable[[], object]) -> None:
    tell()
    wait()


def ended(process: BackgroundProcess) -> BackgroundProcess:
    wait_for(lambda: process.returncode is not None)
    return process


def brief_block(error: Exception | None = None) -> None:
    with background_process(BRIEF) as process:
        process.check()
        tell()
        with pytest.raises(ProcessEnded, match="exit code 5"):
            ended(process).check()
        if error is not None:
            raise error


def test_check_and_the_end_of_the_block() -> None:
    with pytest.raises(ProcessEnded, match=r"exit code 5(.|\n)*lost") as raised:
        brief_block()
    assert raised.value.returncode == 5


def test_the_tasks_own_error_wins() -> None:
    with pytest.raises(KeyError) as raised:
        brief_block(KeyError("own"))
    if sys.version_info >= (3, 11):
        assert "exit code 5" in raised.value.__notes__[0]


@pytest.mark.parametrize("at_entry", [True, False])
def test_struck_while_it_disarms_nothing_stays_armed(
    monkeypatch: pytest.MonkeyPatch, at_entry: bool
) -> None:
    """As SIGURG, before the first line of ``close`` or after its last."""
    close, calls = MainThreadBlock.close, []

    def struck(self: MainThreadBlock) -> None:
        calls.append(self)
        if len(calls) > 1 or not at_entry:
            close(self)
        if len(calls) == 1:
            raise self.kind

    before = signal.getsignal(signal.SIGURG)
    monkeypatch.setattr(MainThreadBlock, "throw", lambda self: None)
    monkeypatch.setattr(MainThreadBlock, "close", struck)
    with (
        pytest.raises(ProcessEnded, match="exit code 5"),
        background_process(BRIEF, interrupt=True) as process,
    ):
        told(lambda: ended(process))
    assert MainThreadBlock.opened == []
    assert signal.getsignal(signal.SIGURG) is before


class Limit(Exception):
    """As a soft time limit raises it."""


def test_struck_by_something_else_as_it_disarms_nothing_stays_armed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    close, calls = MainThreadBlock.close, []

    def struck(self: MainThreadBlock) -> None:
        calls.append(self)
        if len(calls) == 1:
            raise Limit
        close(self)

    before = signal.getsignal(signal.SIGURG)
    monkeypatch.setattr(MainThreadBlock, "close", struck)
    with pytest.raises(Limit), background_process(["sleep", "60"], interrupt=True):
        pass
    assert MainThreadBlock.opened == []
    assert signal.getsignal(signal.SIGURG) is before


def test_a_process_that_was_stopped_has_not_ended_early() -> None:
    with background_process(["sleep", "60"]) as process:
        process.stop()
        process.check()
    assert process.returncode == -signal.SIGTERM


def interrupted(wait: Callable[[], object]) -> float:
    """How long a block took that tells the process to end, and waits for a minute."""
    began = time.monotonic()
    with (
        pytest.raises(ProcessEnded, match=r"exit code 5(.|\n)*lost") as raised,
        background_process(BRIEF, interrupt=True),
    ):
        wait()
    assert raised.type is ProcessEnded
    assert raised.value.returncode == 5
    return time.monotonic() - began


def in_sleep() -> None:
    told(lambda: time.sleep(60))


def in_steps() -> None:
    tell()
    for _ in range(6000):
        time.sleep(0.01)


def in_select() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            tell()  # not before: it would strike within ``Popen``, which forgets its child then
            other.wait()
        finally:
            other.kill()


@pytest.mark.parametrize("wait", [in_sleep, in_steps, in_select])
def test_it_interrupts_the_main_thread(wait: Callable[[], object]) -> None:
    before = signal.getsignal(signal.SIGURG)
    assert interrupted(wait) < 30
    assert signal.getsignal(signal.SIGURG) == before


def test_the_signals_handler_of_before_is_in_place_again() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGURG, lambda number, frame: heard.append(number))
    try:
        with background_process(["sleep", "60"], interrupt=True):
            signal.raise_signal(signal.SIGURG)
        signal.raise_signal(signal.SIGURG)
    finally:
        signal.signal(signal.SIGURG, before)
    assert heard == [signal.SIGURG] * 2


def test_one_that_is_forgotten_ends_though_it_would_interrupt() -> None:
    """As when a signal's exception comes between the start and the block."""

    def forget() -> int:
        return background_process(["sleep", "60"], interrupt=True).__enter__().pid

    pid, opened = forget(), MainThreadBlock.opened
    gc.collect()
    try:
        wait_for(lambda: not psutil.pid_exists(pid))
    finally:
        opened[-1].close()


def test_it_interrupts_another_thread() -> None:
    took: list[float] = []
    thread = threading.Thread(target=lambda: took.append(interrupted(in_steps)))
    thread.start()
    thread.join(60)
    assert took[0] < 30


def inner_block(outer: BackgroundProcess) -> None:
    with background_process(["sleep", "61"], interrupt=True):
        os.kill(outer.pid, signal.SIGKILL)
        in_steps()


def nested_blocks() -> None:
    with background_process(["sleep", "60"], interrupt=True) as outer:
        assert interrupted(in_steps) < 30
        inner_block(outer)


def test_blocks_within_blocks() -> None:
    with pytest.raises(ProcessEnded, match=r"sleep 60 .*SIGKILL"):
        nested_blocks()


def test_it_may_end_before_the_block_begins() -> None:
    tell()
    process = ended(background_process(BRIEF, interrupt=True))
    with pytest.raises(ProcessEnded), process:
        raise AssertionError("the block has begun")


GEVENT = """
from gevent import monkey; monkey.patch_all()
import time, gevent
from celery_graceful import background_process, ready
from celery_graceful.errors import ProcessEnded
ticks = []
def tick():
    while True:
        ticks.append(1); time.sleep(0.01)
        if len(ticks) == 11: open("ticked", "w").close()
gevent.spawn(tick)
slow = ["sh", "-c", "while [ ! -e ticked ]; do sleep 0.02; done; echo up; sleep 60"]
with background_process(slow, ready=ready.log_line("up")) as process:
    assert len(ticks) > 10, ticks
    assert process.output_tail.strip() == "up"
    assert process.returncode is None
with background_process(["sh", "-c", "echo up; exec yes"], ready=ready.log_line("up")) as process:
    assert process.output_tail
def block():
    began = time.monotonic()
    try:
        with background_process(["sh", "-c", "sleep 0.2; exit 5"], interrupt=True):
            time.sleep(60)
    except ProcessEnded as error:
        assert type(error) is ProcessEnded
        return time.monotonic() - began
assert gevent.spawn(block).get() < 30
assert block() < 30
def stubborn():
    with background_process(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"],
                            ready=ready.log_line("up"), grace=0.3):
        raise KeyError
blocks = [gevent.spawn(stubborn) for _ in range(5)]
gevent.joinall(blocks)
assert all(isinstance(block.exception, KeyError) for block in blocks)
print("well")
"""


def test_gevent() -> None:
    pytest.importorskip("gevent")
    done = subprocess.run(
        [sys.executable, "-c", GEVENT], capture_output=True, text=True, timeout=150
    )
    assert done.stdout == "well\n", done.stderr


def without_guardian(family: list[psutil.Process]) -> None:
    with background_process(["sh", "-c", "sleep 60 & sleep 60"]) as process:
        command = psutil.Process(process.pid)
        wait_for(lambda: len(command.children()) == 2)
        family += [command, *command.children()]
        command.parent().kill()
        ended(process)


def test_a_guardian_that_is_killed_takes_the_process_with_it() -> None:
    family: list[psutil.Process] = []
    with pytest.raises(ProcessEnded, match="SIGKILL"):
        without_guardian(family)
    wait_for(lambda: not any(one.is_running() for one in family))


def test_a_guardian_that_does_nothing_is_killed_at_the_end() -> None:
    with background_process(["sh", "-c", "sleep 60 & sleep 60"], grace=0.2) as process:
        command = psutil.Process(process.pid)
        wait_for(lambda: len(command.children()) == 2)
        family = [command, *command.children()]
        command.parent().suspend()
        began = time.monotonic()
    assert time.monotonic() - began < 15
    wait_for(lambda: not any(one.is_running() for one in family))

"""An exception may come at any moment: nothing is left of the process, and nothing hangs."""

from __future__ import annotations

import gc
import os
import random
import signal
import threading
import time
from types import FrameType

import pytest

from celery_graceful import background_process, ready
from celery_graceful.processes import block_interruption
from tests.harness import wait_for

pytestmark = pytest.mark.usefixtures("nothing_left")

ROUNDS = 150
LONGEST = 0.06


class Struck(Exception):
    """As a soft time limit raises it."""


def strike(number: int, frame: FrameType | None) -> None:
    """Raise, unless nobody could catch it: what is raised in a finalizer goes nowhere."""
    within = frame
    while within is not None:
        code = within.f_code
        if code.co_name == "__del__" or code.co_filename.endswith(("weakref.py", "weakrefset.py")):
            signal.setitimer(signal.ITIMER_REAL, 0.0005)
            return
        within = within.f_back
    raise Struck


def block(interrupt: bool) -> None:
    script = "echo up; (setsid sleep 600 &); exec sleep 600"
    with background_process(
        ["sh", "-c", script], ready=ready.log_line("up"), grace=0.3, interrupt=interrupt
    ):
        time.sleep(0.01)


def struck(after: float, interrupt: bool) -> bool:
    """Run a block that is struck after so many seconds, if it lasts that long."""
    try:
        signal.setitimer(signal.ITIMER_REAL, after)
        block(interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Struck:
        return True
    return False


def started() -> set[threading.Thread]:
    """The threads but for those that Python only met, as in a log line of a native one."""
    return {one for one in threading.enumerate() if not isinstance(one, threading._DummyThread)}


@pytest.mark.timeout(300, method="thread")  # a signal's timer is the one that strikes
@pytest.mark.parametrize("interrupt", [False, True])
def test_struck_at_any_moment(interrupt: bool) -> None:
    before_fds, before = len(os.listdir("/dev/fd")), signal.signal(signal.SIGALRM, strike)
    threads = started()  # of the tests before
    dice, hits, longest = random.Random(6), 0, 0.0
    try:
        for _ in range(ROUNDS):
            began = time.monotonic()
            hits += struck(dice.uniform(0.0005, LONGEST), interrupt)
            longest = max(longest, time.monotonic() - began)
    finally:
        signal.signal(signal.SIGALRM, before)
    gc.collect()
    assert block_interruption.MainThreadBlock.opened == []
    assert hits > ROUNDS / 4
    assert longest < 20
    wait_for(lambda: started() <= threads, 10, lambda: str(threading.enumerate()))
    wait_for(lambda: len(os.listdir("/dev/fd")) <= before_fds, 5)

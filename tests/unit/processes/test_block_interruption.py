"""An exception that is raised in somebody else's code arrives, once, or is done with."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from types import FrameType

import pytest

from celery_graceful.processes.block_interruption import interruptible_block
from tests.harness import wait_for


class Struck(BaseException):
    """What is raised."""


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """Signals that come while nobody is armed; as if Python had missed them."""
    before, numbers = signal.getsignal(signal.SIGURG), []

    def hear(number: int, frame: FrameType | None) -> None:
        numbers.append(number)

    signal.signal(signal.SIGURG, hear)
    yield numbers
    signal.signal(signal.SIGURG, before)


def test_a_signal_that_was_missed_is_followed_by_others_until_the_block_ends(
    heard: list[int],
) -> None:
    missed = signal.getsignal(signal.SIGURG)
    found = interruptible_block(Struck)
    found.open()
    signal.signal(signal.SIGURG, missed)
    found.throw()
    wait_for(lambda: len(heard) >= 3, 10)
    found.close()
    found.throw()  # too late: nothing comes any more
    count = len(heard)
    with pytest.raises(AssertionError):
        wait_for(lambda: len(heard) > count + 1, 0.3)


IN_THREADS = """
import sys, threading
from celery_graceful.processes.block_interruption import interruptible_block

class Struck(BaseException):
    pass

def run():
    found = interruptible_block(Struck)
    try:
        found.open()
        other = threading.Thread(target=found.throw)
        other.start()
        other.join()
    except Struck:
        pass
    finally:
        found.close()

for _ in range(50):
    one = threading.Thread(target=run)
    one.start()
    one.join()
calls = []
sys.setprofile(lambda frame, event, argument: calls.append(event))
exec("def f(): return 1\\nfor _ in range(1000): f()")
sys.setprofile(None)
print("calls", len(calls) > 1000)
"""


def test_nothing_is_left_behind_in_the_interpreter() -> None:
    """Python 3.11 looks for ever for an exception that is taken back."""
    done = subprocess.run(
        [sys.executable, "-c", IN_THREADS], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("calls True\n", "")

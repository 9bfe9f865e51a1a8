"""A process that owns a background process, and ends in one of many ways: ``owner.py WAY CHILD``.

It says ``begun`` once it waits for its end, and what came out of it as its last line.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from celery_graceful import background_process, ready
from celery_graceful.processes import BackgroundProcess
from tests.harness import wait_for
from tests.integration.processes.children import CHILDREN, Child

GRACE = 0.5
#: Seconds that a child has that never gets ready; longer where somebody else ends that.
READY = 0.5


class Limit(Exception):
    """As a time limit raises it."""


def say(what: object) -> None:
    print(what, flush=True)


def started(child: Child, ready_timeout: float = 30.0) -> BackgroundProcess:
    """Start it and wait until there is something to be ended."""
    if child.never_ready:
        say("begun")
    process = background_process(
        ["sh", "-c", child.script],
        ready=ready.path("/nonexistent") if child.never_ready else None,
        ready_timeout=ready_timeout,
        grace=GRACE,
    )
    wait_for(lambda: process.output_tail, 10)
    if child.ends_with is not None:
        wait_for(lambda: process.returncode is not None)
    say("begun")
    return process


def sleep_long() -> None:
    """In pieces: a signal between Python's last look and the system call would wait for its end."""
    for _ in range(600):
        time.sleep(0.1)


def succeeds(child: Child) -> None:
    with started(child, READY):
        pass


def fails(child: Child) -> None:
    with started(child, READY):
        raise KeyError("the task's own")


def stops(child: Child) -> None:
    process = started(child, READY)
    process.stop()
    process.stop()
    process.check()


def forgets(child: Child) -> None:
    process: BackgroundProcess | None = started(child, READY)
    assert process is not None
    process = None
    gc.collect()


def in_a_thread(child: Child) -> None:
    thread = threading.Thread(target=report, args=(succeeds, child))
    thread.start()
    thread.join()


def waits(child: Child) -> None:
    with started(child):
        sleep_long()


def waits_forked(child: Child) -> None:
    """Has a fork that lives on, with whatever was open."""
    with started(child):
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        say("forked")
        sleep_long()


def exits(child: Child) -> None:
    with started(child):
        os._exit(7)


def leaves(child: Child) -> None:
    started(child)
    sys.exit(0)


def waits_long_grace(child: Child) -> None:
    """Says when its process has been asked to end."""
    script = "trap 'echo asked' TERM; echo up; while :; do sleep 600 & wait; done"
    with background_process(["sh", "-c", script], grace=30, ready=ready.log_line("up")) as process:
        threading.Thread(target=tell_when_asked, args=(process,), daemon=True).start()
        say("begun")
        sleep_long()


def tell_when_asked(process: BackgroundProcess) -> None:
    wait_for(lambda: "asked" in process.output_tail, 10)
    say("asked to end")


def report(way: Callable[[Child], None], child: Child) -> None:
    """Run it; say what came out, and whether anything is left in this process."""
    before = len(os.listdir("/dev/fd"))
    try:
        way(child)
    except BaseException as error:
        notes = " ".join(getattr(error, "__notes__", ()))
        outcome = f"{type(error).__name__}: {error} {notes}"
    else:
        outcome = "went well"
    wait_for(lambda: len(os.listdir("/dev/fd")) <= before, 5)
    say(repr(outcome))


def raise_limit(number: int, frame: FrameType | None) -> NoReturn:
    raise Limit("soft")


def raise_exit(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(15)


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 does not like forks
    signal.signal(signal.SIGUSR1, raise_limit)
    signal.signal(signal.SIGTERM, raise_exit)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a pool child
    way, kind = sys.argv[1:]
    report(globals()[way], CHILDREN[kind])

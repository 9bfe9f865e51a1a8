"""The one thread per process that watches running executions, and notifies tasks of a stop.

It wakes twenty times a second while executions run and ends soon after the last: a process without
iterable tasks has no thread. A real thread also under gevent, where a task that never yields
would starve a greenlet. It only reads shared memory and clears lists, so it needs no lock of ours.
"""

from __future__ import annotations

import logging
import time
from typing import Protocol, runtime_checkable

from celery_graceful._celery.threads.native import native_sleep, start_native_thread
from celery_graceful.forks import after_fork

logger = logging.getLogger("celery_graceful.runs")

#: Seconds between two looks; bounds how long a stop goes unseen.
TICK = 0.05
#: Ticks without an execution after which the thread ends.
IDLE_TICKS = 100


class Ticked(Protocol):
    """What is under way, as the ticker sees it."""

    def tick(self, now: float) -> None:
        """Do what is due at ``now`` (monotonic seconds). Must not block."""

    def tick_failed(self) -> None:
        """``tick`` has raised: have the execution see for itself what is due. Must not raise."""


@runtime_checkable
class Dying(Ticked, Protocol):
    """An execution, as a signal handler sees it."""

    def on_term_signal(self) -> bool:
        """A termination signal reached this process; whether the execution deals with it."""


_executions: dict[int, Ticked] = {}
#: Those whose ``tick`` has raised, which is logged once.
_failed: set[int] = set()
#: Whether there is a thread: empty or not, which changes in one step.
_has_thread: list[bool] = []


@after_fork
def _begin_anew() -> None:
    """Threads do not survive a fork, and what they looked after belongs to the parent."""
    _has_thread.clear()
    _executions.clear()
    _failed.clear()


def enlist(execution: Ticked) -> None:
    """Have ``execution.tick`` called until :func:`leave`."""
    _executions[id(execution)] = execution
    if not _has_thread:
        _has_thread.append(True)
        start_native_thread(_run)


def leave(execution: Ticked) -> None:
    """No longer call ``execution.tick``."""
    _executions.pop(id(execution), None)
    _failed.discard(id(execution))


def enlisted() -> list[Ticked]:
    """Whatever is under way in this process."""
    return list(_executions.values())


def executions() -> list[Dying]:
    """The executions under way in this process."""
    return [each for each in enlisted() if isinstance(each, Dying)]


def _tick(execution: Ticked, now: float) -> None:
    """One execution's tick: its trouble is its own, and no other waits for it.

    Any exception: a cursor's ``__repr__`` may raise ``SystemExit``, and the thread serves all.
    """
    try:
        execution.tick(now)
    except BaseException:
        execution.tick_failed()
        if id(execution) not in _failed:
            _failed.add(id(execution))
            logger.exception(
                "The look at %s failed, 20 times a second from now on; it looks for itself after"
                " each item or two, and others are not affected",
                type(execution).__name__,
            )


def _run() -> None:
    idle = 0
    while idle < IDLE_TICKS:
        native_sleep(TICK)
        now = time.monotonic()
        under_way = list(_executions.values())
        idle = 0 if under_way else idle + 1
        for execution in under_way:
            _tick(execution, now)
    _has_thread.clear()
    left = list(_executions.values())
    if left:  # enlisted in the moment between the last look and the line above
        _has_thread.append(True)
        start_native_thread(_run)

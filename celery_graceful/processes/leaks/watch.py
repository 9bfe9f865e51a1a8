"""Whose a process is that was left behind, and what becomes of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from celery_graceful.processes.leaks import kernel, ladder, table
from celery_graceful.processes.leaks.said import last_output
from celery_graceful.processes.leaks.table import Found, Table
from celery_graceful.stop import time_to_end
from celery_graceful.text.counting import pids

log = logging.getLogger("celery_graceful.processes")

#: Seconds from SIGTERM to SIGKILL.
GRACE = 2.0
#: The least of that, and what is kept for SIGKILL when the worker stops.
LEAST, RESERVE = 0.2, 0.5
#: The kernel counts in hundredths when a process was born.
_TICK = 0.02


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of a task, and when it began, on the clock of ``table.now``."""

    name: str
    id: str
    began: float

    def __str__(self) -> str:
        return f"{self.name}[{self.id}]"


@dataclass(frozen=True, slots=True)
class _Pending:
    """A process that may be of several executions, one of which still runs."""

    found: Found
    owners: Sequence[Execution]

    @property
    def sure(self) -> bool:
        return len(self.owners) == 1

    def __str__(self) -> str:
        found, guess = self.found, "" if self.sure else " (a guess: they ran at the same time)"
        return (
            f"{' or '.join(map(str, self.owners))} left process {found.pid} behind{guess}: "
            f"{found.command} ({found.age:.1f} s old, {found.cpu:.2f} s of CPU)"
        )


class Watch:
    """The executions of one process and what they start.

    Where executions overlap, a process can be of any that ran when it was born. It is left behind
    when all of these have ended. With one of them it is surely that one's; else it is a guess.

    Args:
        kill: end what is surely left behind.
    """

    def __init__(self, *, kill: bool) -> None:
        self._kill = kill
        #: What runs now, but for the one whose end is told.
        self.running: dict[str, Execution] = {}
        self._pending: list[_Pending] = []
        self._lock = threading.Lock()
        self._table = Table()
        if kernel.has_children():
            for found in self._table.look():
                self._table.keep(found)
        self._waited_for = kernel.waited_for()

    def close(self) -> None:
        """Look no more."""
        self._table.close()

    def is_worth_a_look(self) -> bool:
        """Whether there can be processes that were left behind; the kernel tells at once."""
        return (
            kernel.has_children() or kernel.waited_for() != self._waited_for or bool(self._pending)
        )

    def look(self, ended: Execution) -> None:
        """An execution has ended: find, report and perhaps end what was left behind."""
        to_end = self._decided(ended)
        if to_end:
            self._end(to_end, ended)

    def _decided(self, ended: Execution) -> list[Found]:
        """Look, report what turns out to be left behind, and return what is to be ended of it."""
        with self._lock:
            self._waited_for = kernel.waited_for()
            self._take(self._table.look(), ended)
            left = self._left_behind()
            to_end = [one.found for one in left if self._kill and one.sure]
            for one in left:
                if one.found not in to_end:
                    self._table.keep(one.found)
        for one in left:
            said = last_output(one.found.pid)
            does = "is ended" if one.found in to_end else "runs on"
            output = f"; its last output:\n{said}" if said else ""
            # Without arguments: lines are kept, and indented. In an argument they would be escaped.
            log.warning(f"{one}; it {does}{output}")
        return to_end

    def _take(self, found: Sequence[Found], ended: Execution) -> None:
        executions = [ended, *list(self.running.values())]
        for process in found:
            owners = [e for e in executions if e.began - _TICK <= process.born]
            if owners:
                self._pending.append(_Pending(process, owners))
            else:  # of a thread between two tasks
                self._table.keep(process)

    def _left_behind(self) -> list[_Pending]:
        running = list(self.running.values())
        waiting: list[_Pending] = []
        left: list[_Pending] = []
        for one in self._pending:
            undecided = any(owner in running for owner in one.owners)
            (waiting if undecided else left).append(one)
        self._pending = [one for one in waiting if table.alive(one.found.process)]
        return [one for one in left if table.alive(one.found.process)]

    def _end(self, left: Sequence[Found], ended: Execution) -> None:
        began, left_to_us = time.monotonic(), time_to_end()
        grace = GRACE if left_to_us is None else min(GRACE, max(LEAST, left_to_us - RESERVE))
        killed, alive = ladder.end(left, grace, partial(self._decided, ended))
        log.warning(
            "%s: ended what it left behind in %.1f s%s%s",
            ended,
            time.monotonic() - began,
            f", by SIGKILL: {pids(killed)}" if killed else "",
            f"; still there after SIGKILL: {pids(alive)}" if alive else "",
        )

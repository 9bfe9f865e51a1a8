"""Which task left a process behind, and what is done about it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import stat
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import psutil

from celery_graceful.processes.ending import end, is_alive
from celery_graceful.processes.leaks import descendants
from celery_graceful.processes.leaks.descendants import Descendant, Descendants
from celery_graceful.processes.leaks.notes import Leak, note, prune
from celery_graceful.stop import time_to_end
from celery_graceful.text.counting import pids
from celery_graceful.text.masking import mask_text

log = logging.getLogger("celery_graceful.processes")

#: Seconds from SIGTERM to SIGKILL; the least of it, and what is kept for SIGKILL when the worker
#: stops; seconds after SIGKILL until what is still there counts as unkillable.
_GRACE, _LEAST, _RESERVE, _KILL_PATIENCE = 2.0, 0.2, 0.5, 0.5
#: The kernel notes in hundredths of a second when a process started.
_TICK = 0.02
#: How much output is shown, in bytes and in lines.
_OUTPUT_BYTES, _OUTPUT_LINES = 1024, 3


@dataclass(frozen=True, slots=True)
class TaskExecution:
    """One execution of a task, and when it began, on the clock of ``descendants.now``."""

    name: str
    id: str
    began: float

    def __str__(self) -> str:
        return f"{self.name}[{self.id}]"


@dataclass(frozen=True, slots=True)
class _Undecided:
    """A process, and the executions that ran when it started."""

    found: Descendant
    owners: Sequence[TaskExecution]

    @property
    def sure(self) -> bool:
        return len(self.owners) == 1

    def __str__(self) -> str:
        found, guess = self.found, "" if self.sure else " (a guess: they ran at the same time)"
        return (
            f"{' or '.join(map(str, self.owners))} left process {found.pid} behind{guess}: "
            f"{found.command} ({found.age:.1f} s old, {found.cpu:.2f} s of CPU)"
        )


class LeakFinder:
    """The executions of one process and what they start.

    Where executions overlap, a process can belong to any that ran when it started. It is left
    behind when all of these have ended. With one of them it is surely that one's; else it is a
    guess.

    Args:
        kill: end what is surely left behind.
        worker: the node name of the worker, for notes of what was found.
        app: its app's namespace.
    """

    def __init__(self, *, kill: bool, worker: str = "", app: str = "") -> None:
        self._kill = kill
        self._worker, self._app = worker, app
        #: What is being ended, and the names of the notes of that.
        self._noted: dict[int, tuple[str, Leak]] = {}
        #: What runs now, without the one whose end is reported.
        self.running: dict[str, TaskExecution] = {}
        self._undecided: list[_Undecided] = []
        self._lock = threading.Lock()
        self._descendants = Descendants()
        if descendants.has_children():
            for found in self._descendants.find_new():
                self._descendants.keep(found)
        self._reaped = descendants.reaped_children()

    def close(self) -> None:
        """Look no more."""
        self._descendants.close()

    def has_to_look(self) -> bool:
        """Whether there can be processes that were left behind: a few microseconds."""
        # Without children now, but with some before, there can be orphans: sh -c 'program &'.
        return (
            descendants.has_children()
            or descendants.reaped_children() != self._reaped
            or bool(self._undecided)
        )

    def look(self, ended: TaskExecution) -> None:
        """An execution has ended: find, report and perhaps end what was left behind."""
        to_end = self._find(ended)
        if to_end:
            self._end(to_end, ended)

    def _find(self, ended: TaskExecution) -> list[Descendant]:
        """Report what turns out to be left behind, and return what is to be ended of it."""
        with self._lock:
            self._reaped = descendants.reaped_children()
            self._add(self._descendants.find_new(), ended)
            left = self._take_left_behind()
            to_end = [one.found for one in left if self._kill and one.sure]
            for one in left:
                if one.found not in to_end:
                    self._descendants.keep(one.found)
        for one in left:
            written = last_output(one.found.pid)
            does = "is ended" if one.found in to_end else "runs on"
            output = f"; its last output:\n{written}" if written else ""
            self._note(one, ends=one.found in to_end)
            # Without arguments: lines are kept, and indented. In an argument they would be escaped.
            log.warning(f"{one}; it {does}{output}")
        return to_end

    def _note(self, one: _Undecided, *, ends: bool) -> None:
        found = one.found
        leak = Leak(
            at=time.time(),
            tasks=tuple(map(str, one.owners)),
            pid=found.pid,
            command=mask_text(found.command),
            age=round(found.age, 1),
            done="is being ended" if ends else "runs on",
            worker=self._worker,
            app=self._app,
        )
        prune()
        name = note(leak)
        if ends:
            self._noted[found.pid] = name, leak

    def _note_ends(self, found: Iterable[int], killed: Sequence[int], alive: Sequence[int]) -> None:
        for pid in found:
            name, leak = self._noted.pop(pid, ("", None))
            if leak is None:
                continue
            done = "survived SIGKILL" if pid in alive else "killed" if pid in killed else "ended"
            note(replace(leak, done=done), name)

    def _add(self, found: Sequence[Descendant], ended: TaskExecution) -> None:
        executions = [ended, *list(self.running.values())]
        for process in found:
            owners = [e for e in executions if e.began - _TICK <= process.started]
            if owners:
                self._undecided.append(_Undecided(process, owners))
            else:  # of a thread between two tasks
                self._descendants.keep(process)

    def _take_left_behind(self) -> list[_Undecided]:
        running = list(self.running.values())
        waiting: list[_Undecided] = []
        left: list[_Undecided] = []
        for one in self._undecided:
            undecided = any(owner in running for owner in one.owners)
            (waiting if undecided else left).append(one)
        self._undecided = [one for one in waiting if is_alive(one.found.process)]
        return [one for one in left if is_alive(one.found.process)]

    def _end(self, left: Sequence[Descendant], ended: TaskExecution) -> None:
        began, time_left = time.monotonic(), time_to_end()
        grace = _GRACE if time_left is None else min(_GRACE, max(_LEAST, time_left - _RESERVE))
        processes = [found.process for found in left]

        def more() -> list[psutil.Process]:
            new = [found.process for found in self._find(ended)]
            processes.extend(new)
            return new

        try:
            killed, alive = end(processes, signal.SIGTERM, grace, more, _KILL_PATIENCE)
        finally:
            for process in processes:
                with contextlib.suppress(ChildProcessError):  # not a child, or reaped already
                    os.waitpid(process.pid, os.WNOHANG)
        self._note_ends([process.pid for process in processes], killed, alive)
        log.warning(
            "%s: ended what it left behind in %.1f s%s%s",
            ended,
            time.monotonic() - began,
            f", by SIGKILL: {pids(killed)}" if killed else "",
            f"; still there after SIGKILL: {pids(alive)}" if alive else "",
        )


def last_output(pid: int) -> str:
    """The last lines in the file that is a process's stdout or stderr; empty without one.

    Linux only. A file that is this process's own stdout or stderr, such as a log of the worker,
    does not count: what is in it was not written by that process.
    """
    own = [_file_id(f"/proc/self/fd/{fd}") for fd in (1, 2)]
    for fd in (1, 2):
        path = f"/proc/{pid}/fd/{fd}"
        found = _file_id(path)
        if found is None or found in own or not _can_write(pid, fd):
            continue
        if lines := _last_lines(path):
            return "\n".join(lines)
    return ""


def _file_id(path: str) -> tuple[int, int] | None:
    try:
        about = os.stat(path)
    except OSError:
        return None  # it has ended, or is closed, or another user's
    return (about.st_dev, about.st_ino) if stat.S_ISREG(about.st_mode) else None


def _can_write(pid: int, fd: int) -> bool:
    """A new daemon may read a file by that number."""
    try:
        with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as info:
            flags = next(line.split()[1] for line in info if line.startswith("flags:"))
    except (OSError, StopIteration):
        return False  # it has ended, or is closed, or another user's
    return int(flags, 8) & os.O_ACCMODE != os.O_RDONLY


def _last_lines(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _OUTPUT_BYTES))
            data = file.read(_OUTPUT_BYTES)
    except OSError:
        return []
    return data.decode("utf-8", "replace").splitlines()[-_OUTPUT_LINES:]

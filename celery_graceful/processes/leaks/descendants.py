"""Which processes descend from this one, by the kernel and by psutil."""

from __future__ import annotations

import ctypes
import os
import resource
import shlex
import time
import uuid
from dataclasses import dataclass
from enum import Enum, auto

import psutil

from celery_graceful.processes.start_options import TAG

#: Tags what descends from this process, also when its parents have ended.
CHILD_TAG = "CELERY_GRACEFUL_CHILD"
#: Parts of the command lines of those that outlive tasks on purpose.
_HELPERS = (
    "resource_tracker import main",
    "semaphore_tracker import main",
    "forkserver import main",
    os.path.join("processes", "guardian", "run.py"),
)
#: For so many seconds, what was there at the last look is not looked at again. Pids come again.
_STALE_AFTER = 1.0
#: Seconds by which the system's clock may have been set between two looks.
_CLOCKS = 2.0
#: Linux notes the start of a process in seconds since its own.
_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)
_LONGEST_COMMAND = 400
_WAIT_FLAGS = os.WEXITED | os.WNOHANG | os.WNOWAIT
#: ``os.waitid`` would raise an exception for each task without children: twice the cost.
_waitid = ctypes.CDLL(None).waitid
_waitid.argtypes = (ctypes.c_int, ctypes.c_uint, ctypes.c_void_p, ctypes.c_int)
#: A ``siginfo_t``, which nobody reads; 128 bytes on Linux.
_siginfo = ctypes.create_string_buffer(256)
_siginfo_at = ctypes.addressof(_siginfo)


class _Whose(Enum):
    OURS, KEPT, OTHERS = auto(), auto(), auto()


@dataclass(frozen=True, slots=True)
class Descendant:
    """A process that descends from this one."""

    process: psutil.Process
    command: str
    #: When it started, on the clock of :func:`now`; seconds since then, and of processor time.
    started: float
    age: float
    cpu: float

    @property
    def pid(self) -> int:
        return int(self.process.pid)


class Descendants:
    """What was there at the last look, and what is not to be found."""

    def __init__(self) -> None:
        self._me = os.getpid()
        self._started: float = psutil.Process().create_time()
        self._tag = f"{self._me}-{uuid.uuid4().hex}"
        os.environ[CHILD_TAG] = self._tag
        self._seen: set[int] = set()
        self._looked = 0.0
        #: Found already; and to be passed over with all that they start: pid and when it started.
        self._found: dict[int, float] = {}
        self._kept: dict[int, float] = {}

    def close(self) -> None:
        """Tag no more processes."""
        if os.environ.get(CHILD_TAG) == self._tag:
            del os.environ[CHILD_TAG]

    def keep(self, found: Descendant) -> None:
        """Never find what this process starts."""
        self._found.pop(found.pid, None)
        self._kept[found.pid] = found.process.create_time()

    def find_new(self) -> list[Descendant]:
        """Living processes that descend from this one and were not found before.

        Those that serve many tasks, and what descends from them, are passed over.
        """
        pids, moment = set(psutil.pids()) - {self._me}, time.monotonic()
        again = moment - self._looked > _STALE_AFTER
        unseen = _opened(pids if again else pids - self._seen, self._started)
        self._seen, self._looked = pids, moment
        for known in (self._found, self._kept):
            for pid in known.keys() - pids:
                del known[pid]
        verdicts = {self._me: _Whose.OURS}
        for pid in unseen:
            self._judge(pid, unseen, verdicts)
        fresh = []
        for pid, process in unseen.items():
            if verdicts[pid] is _Whose.OURS and not _is(process, self._found.get(pid)):
                self._found[pid] = process.create_time()
                fresh.append(process)
        return [found for process in fresh if (found := _described(process)) is not None]

    def _judge(
        self, pid: int, unseen: dict[int, psutil.Process], verdicts: dict[int, _Whose]
    ) -> _Whose:
        if pid not in verdicts:
            verdicts[pid] = _Whose.OTHERS  # should there be a circle: pids come again
            verdicts[pid] = self._verdict(pid, unseen, verdicts)
        return verdicts[pid]

    def _verdict(
        self, pid: int, unseen: dict[int, psutil.Process], verdicts: dict[int, _Whose]
    ) -> _Whose:
        process = unseen.get(pid)
        if process is None:
            return self._remembered(pid)
        if _is(process, self._kept.get(pid)):
            return _Whose.KEPT
        whose = self._judge(_parent(process), unseen, verdicts)
        if whose is _Whose.OTHERS and _variable(process, CHILD_TAG) == self._tag:
            whose = _Whose.OURS
        if whose is _Whose.OURS and _serves_many(process):
            self._kept[pid] = process.create_time()
            return _Whose.KEPT
        return whose

    def _remembered(self, pid: int) -> _Whose:
        if pid in self._kept:
            return _Whose.KEPT
        return _Whose.OURS if pid in self._found else _Whose.OTHERS


def now() -> float:
    """Seconds on the clock by which the system notes when a process started."""
    return time.clock_gettime(_CLOCK) if _CLOCK is not None else time.time()


def has_children() -> bool:
    """Whether this process has children, zombies included; a few microseconds."""
    return bool(_waitid(os.P_ALL, 0, _siginfo_at, _WAIT_FLAGS) == 0)


def reaped_children() -> int:
    """A number that rises when a child has ended and was waited for; a few microseconds."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt


def _opened(pids: set[int], since: float) -> dict[int, psutil.Process]:
    found = {}
    for pid in pids:
        try:
            process = psutil.Process(pid)
            if process.create_time() >= since:
                found[pid] = process
        except psutil.Error:
            continue  # it has ended, or is not accessible: not from here
    return found


def _is(process: psutil.Process, started: float | None) -> bool:
    return started is not None and abs(process.create_time() - started) < _CLOCKS


def _parent(process: psutil.Process) -> int:
    try:
        return int(process.ppid())
    except psutil.Error:
        return 0


def _variable(process: psutil.Process, name: str) -> str | None:
    try:
        value: str | None = process.environ().get(name)
    except (psutil.Error, OSError):
        return None  # another user's, or it has ended
    return value


def _serves_many(process: psutil.Process) -> bool:
    if _variable(process, TAG) is not None:
        return True
    command = _command(process)
    return any(part in command for part in _HELPERS)


def _command(process: psutil.Process) -> str:
    try:
        return shlex.join(process.cmdline()) or str(process.name())
    except psutil.Error:
        return "?"


def _described(process: psutil.Process) -> Descendant | None:
    try:
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            started, times = process.create_time(), process.cpu_times()
            started -= psutil.boot_time() if _CLOCK is not None else 0.0
            command = _command(process)[:_LONGEST_COMMAND]
    except psutil.Error:
        return None  # it has just ended
    cpu = times.user + times.system
    return Descendant(process, command, started, max(0.0, now() - started), cpu)

"""The table of processes, by psutil: which of them came from here since the last look."""

from __future__ import annotations

import os
import shlex
import time
import uuid
from dataclasses import dataclass
from enum import Enum, auto

import psutil

#: Marks what descends from this process, also when its parents have ended.
CHILD_TAG = "CELERY_GRACEFUL_CHILD"
#: As ``background_process`` marks what it starts: that has a guardian.
_GUARDED_TAG = "CELERY_GRACEFUL_PROCESS"
#: Parts of the command lines of those who outlive tasks on purpose.
_HELPERS = (
    "resource_tracker import main",
    "semaphore_tracker import main",
    "forkserver import main",
    os.path.join("processes", "guardian", "run.py"),
)
#: So long what was seen at the last look is not looked at again, in seconds. Pids come again.
_FRESH = 1.0
#: The system's clock may have been set between two looks, in seconds.
_CLOCK_SET = 2.0
#: Linux notes it in seconds since it was started.
_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)
_LONGEST = 400


class _Whose(Enum):
    OURS, KEPT, OTHERS = auto(), auto(), auto()


@dataclass(frozen=True, slots=True)
class Found:
    """A process that descends from this one."""

    process: psutil.Process
    command: str
    #: When it started, on the clock of :func:`now`.
    born: float
    #: Seconds since then, and seconds of processor time.
    age: float
    cpu: float

    @property
    def pid(self) -> int:
        """Its pid."""
        return int(self.process.pid)


class Table:
    """What was looked at, and what is to be left alone."""

    def __init__(self) -> None:
        self._me = os.getpid()
        self._born: float = psutil.Process().create_time()
        self._tag = f"{self._me}-{uuid.uuid4().hex}"
        os.environ[CHILD_TAG] = self._tag
        self._seen: set[int] = set()
        self._looked = 0.0
        #: Found already, and to be passed over with all that they start: pid and time of birth.
        self._found: dict[int, float] = {}
        self._kept: dict[int, float] = {}

    def close(self) -> None:
        """Mark no more processes."""
        if os.environ.get(CHILD_TAG) == self._tag:
            del os.environ[CHILD_TAG]

    def keep(self, found: Found) -> None:
        """Find nothing any more that this process starts."""
        self._found.pop(found.pid, None)
        self._kept[found.pid] = found.process.create_time()

    def look(self) -> list[Found]:
        """Living processes that descend from this one and were not found before.

        Those that serve many tasks, and what descends from them, are passed over.
        """
        pids, moment = set(psutil.pids()) - {self._me}, time.monotonic()
        again = moment - self._looked > _FRESH
        unseen = _opened(pids if again else pids - self._seen, self._born)
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
        return [found for process in fresh if (found := _found(process)) is not None]

    def _judge(
        self, pid: int, unseen: dict[int, psutil.Process], verdicts: dict[int, _Whose]
    ) -> _Whose:
        if pid not in verdicts:
            verdicts[pid] = _Whose.OTHERS  # for what comes round in a circle: pids come again
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
    """Seconds on the clock by which the system notes when a process was born."""
    return time.clock_gettime(_CLOCK) if _CLOCK is not None else time.time()


def alive(process: psutil.Process) -> bool:
    """Whether it runs: it is there, is the same as before, and no zombie."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _opened(pids: set[int], since: float) -> dict[int, psutil.Process]:
    found = {}
    for pid in pids:
        try:
            process = psutil.Process(pid)
            if process.create_time() >= since:
                found[pid] = process
        except psutil.Error:
            continue  # gone, or not to be looked at: not from here
    return found


def _is(process: psutil.Process, born: float | None) -> bool:
    return born is not None and abs(process.create_time() - born) < _CLOCK_SET


def _parent(process: psutil.Process) -> int:
    try:
        return int(process.ppid())
    except psutil.Error:
        return 0


def _variable(process: psutil.Process, name: str) -> str | None:
    try:
        value: str | None = process.environ().get(name)
    except (psutil.Error, OSError):
        return None  # of another user, or gone
    return value


def _serves_many(process: psutil.Process) -> bool:
    if _variable(process, _GUARDED_TAG) is not None:
        return True
    command = _command(process)
    return any(part in command for part in _HELPERS)


def _command(process: psutil.Process) -> str:
    try:
        return shlex.join(process.cmdline()) or str(process.name())
    except psutil.Error:
        return "?"


def _found(process: psutil.Process) -> Found | None:
    try:
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            born, times = process.create_time(), process.cpu_times()
            born -= psutil.boot_time() if _CLOCK is not None else 0.0
            command = _command(process)[:_LONGEST]
    except psutil.Error:
        return None  # ended in this moment
    return Found(process, command, born, max(0.0, now() - born), times.user + times.system)

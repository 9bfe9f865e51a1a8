"""All processes that descend from one, also those that left its group or lost their parent."""

from __future__ import annotations

import os
import signal
import uuid
from contextlib import suppress

import psutil

from tests.harness.waiting import wait_for

VARIABLE = "GRACEFUL_TEST_FAMILY"


class Family:
    """Remembers the descendants of ``root``, and knows the others by a mark in their variables."""

    def __init__(self) -> None:
        self.root: int | None = None
        self.mark = {VARIABLE: uuid.uuid4().hex}
        self._seen: dict[int, psutil.Process] = {}

    def look(self) -> list[int]:
        """The living descendants' pids, oldest first; remembers them for ``kill``."""
        try:
            found = psutil.Process(self.root).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        alive = [process for process in found if is_alive(process)]
        self._seen.update((process.pid, process) for process in alive)
        return sorted(process.pid for process in alive)

    def left(self) -> list[int]:
        """The pids of those that ``look`` has seen and that live on."""
        return sorted(pid for pid, process in [*self._seen.items()] if is_alive(process))

    def kill(self) -> None:
        """SIGKILL the root, its group, and every descendant; waits until they are gone."""
        if self.root is None:
            return
        self.look()
        left = {process.pid: process for process in _marked(self.mark[VARIABLE])}
        left.update(self._seen)
        with suppress(ProcessLookupError):  # the whole group has ended
            os.killpg(self.root, signal.SIGKILL)
        for process in left.values():
            try:
                process.kill()  # psutil checks that the pid was not given to another process
            except psutil.NoSuchProcess:
                continue
        # Not psutil's way: a first process may reap others a second later, or never.
        wait_for(lambda: not any(map(is_alive, left.values())), 5, lambda: f"the end of {left}")


def is_alive(process: psutil.Process) -> bool:
    """Whether it has not ended; a zombie has."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _marked(value: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(VARIABLE) == value:
                found.append(process)
        except (psutil.Error, OSError):
            continue  # gone, or of another user: not ours
    return found

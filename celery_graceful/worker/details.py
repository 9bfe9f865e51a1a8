"""What a worker adds to its reports: grace period, versions, processes, leaks, durations."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import celery

import celery_graceful
from celery_graceful._celery.worker_parts import child_pids
from celery_graceful.errors import ProcessError
from celery_graceful.maintenance.worker_details import (
    LONGEST_COMMAND,
    MOST_LEAKS,
    MOST_PROCESSES,
    Details,
    Process,
)
from celery_graceful.processes.leaks.notes import notes
from celery_graceful.processes.registry import Entry, entries
from celery_graceful.runtime import Runtime
from celery_graceful.text.masking import mask_text

logger = logging.getLogger("celery_graceful.worker")

#: The registry is read at most this often, in seconds: during a ``down`` reports come faster.
READ_EVERY = 1.0
_LONGEST_NAME = 200
#: Durations kept for each task, and tasks kept.
SAMPLES, MOST_TASKS = 20, 500


class DetailsReader:
    """Reads what changes, at most once a second, and remembers the rest.

    Args:
        worker: Celery's worker.
    """

    def __init__(self, worker: Any, runtime: Runtime) -> None:
        self._worker = worker
        self._app = runtime.namespace
        self._fixed = Details(
            plugin=celery_graceful.__version__,
            celery=celery.__version__,
            host=socket.gethostname()[:_LONGEST_NAME],
            leak_mode=runtime.settings.leaked_processes,
        )
        self._last = self._fixed
        self._read_at = float("-inf")

    def read(self, ids: Collection[str]) -> Details:
        """The details now.

        Args:
            ids: of the tasks that the worker runs.
        """
        now = time.monotonic()
        if now - self._read_at >= READ_EVERY:
            self._read_at = now
            try:
                self._last = self._look(ids)
            except (OSError, ProcessError) as exc:  # the worker's start has reported it
                logger.debug("The registry of background processes cannot be read: %s", exc)
        return self._last

    def _look(self, ids: Collection[str]) -> Details:
        # Found by the step that owns the stop flag, before anything is reported.
        grace = getattr(self._worker, "graceful_grace", None)
        owners = {os.getpid(), *child_pids(self._worker)}
        own = [each for each in entries(self._app) if each.owner in owners or each.task_id in ids]
        return replace(
            self._fixed,
            grace=None if grace is None else grace.seconds,
            margin=None if grace is None else grace.margin,
            grace_source="" if grace is None else grace.source,
            processes=tuple(map(_process, own[:MOST_PROCESSES])),
            process_count=len(own),
            leaks=tuple(
                replace(leak, command=leak.command[:LONGEST_COMMAND])
                for leak in notes(self._app, self._worker.hostname)[:MOST_LEAKS]
            ),
        )


def _process(entry: Entry) -> Process:
    return Process(
        command=mask_text(entry.command)[:LONGEST_COMMAND],
        task=entry.task[:_LONGEST_NAME],
        id=entry.task_id[:_LONGEST_NAME],
        pid=entry.pid,
        owner=entry.owner,
        since=entry.since,
    )


class History:
    """The durations of tasks that were seen to end: no clock is read for each task.

    What ended between two looks lasted as long as at the first of them at least. Short tasks are
    hardly ever seen; nobody waits for them.
    """

    def __init__(self) -> None:
        self._running: dict[str, tuple[str, float]] = {}
        self._durations: dict[str, deque[float]] = {}

    def look(self, running: Iterable[tuple[str, str, float]]) -> None:
        """Note what runs now: task, id, and seconds since it began."""
        now = {task_id: (task, seconds) for task, task_id, seconds in running}
        for task_id, (task, seconds) in self._running.items():
            if task_id not in now and seconds > 0:
                self._note(task, seconds)
        self._running = now

    def longest(self) -> Mapping[str, float]:
        """The longest of the last durations of each task, in seconds."""
        return {task: round(max(durations), 1) for task, durations in self._durations.items()}

    def _note(self, task: str, seconds: float) -> None:
        if task not in self._durations and len(self._durations) >= MOST_TASKS:
            self._durations.pop(next(iter(self._durations)))
        self._durations.setdefault(task, deque(maxlen=SAMPLES)).append(seconds)

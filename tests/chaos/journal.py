"""The journal: what executions and workers reported, a line each, whatever kills them next."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from celery import signals as celery_signals

from celery_graceful import signals
from celery_graceful.execution.owned import owned_run
from tests.harness.line_files import whole_lines


class Note(NamedTuple):
    """One line.

    ``what`` is ``begin``, ``saved``, ``left``, ``completed``, ``failed``, ``end`` (the task's
    process is through with the execution) or ``log``. ``version`` is the record's in the store,
    which orders the writes to a run whatever the clocks say.
    """

    what: str
    run: str
    fence: int
    version: int
    steps: int
    pid: int
    worker: int
    at: float
    text: str = ""


class Journal:
    """A file that all processes append to."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def add(
        self,
        what: str,
        run: str = "",
        fence: int = 0,
        version: int = 0,
        steps: int = 0,
        text: str = "",
    ) -> None:
        """Append a line. One write to a file opened for appending: lines never mix."""
        note = Note(
            what, run, fence, version, steps, os.getpid(), os.getppid(), time.monotonic(), text
        )
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(fd, json.dumps(note).encode() + b"\n")
        finally:
            os.close(fd)

    def read(self) -> list[Note]:
        """All lines in the order they were written."""
        return [Note(*json.loads(line)) for line in whole_lines(self.path)]

    def listen(self) -> None:
        """Write down the signals of runs and what the package logs, in child processes too."""
        for signal, what in (
            (signals.run_started, "begin"),
            (signals.run_resumed, "begin"),
            (signals.checkpoint_saved, "saved"),
            (signals.run_interrupted, "left"),
            (signals.run_completed, "completed"),
            (signals.run_failed, "failed"),
        ):
            signal.connect(self._receiver(what), weak=False)
        celery_signals.task_postrun.connect(self._postrun, weak=False)
        logger = logging.getLogger("celery_graceful")
        logger.addHandler(_Handler(self))

    def _receiver(self, what: str) -> Any:
        def receive(task: Any, *, task_id: str, **details: Any) -> None:
            run = owned_run(task.request)
            assert run is not None
            record = run.ticket.record
            steps = details.get("steps", 0)
            self.add(what, task_id, record.fence, record.version, steps)

        return receive

    def _postrun(self, task_id: str, task: Any, **_: Any) -> None:
        run = owned_run(task.request)
        if run is not None:
            self.add("end", task_id, run.ticket.record.fence, 0, run.execution.steps)


class _Handler(logging.Handler):
    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.INFO)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        self._journal.add("log", text=f"{record.levelname} {record.getMessage()}")

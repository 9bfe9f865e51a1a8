"""The owner's hold on a guardian and, through it, on a background process."""

from __future__ import annotations

import _thread
import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery_graceful.errors import ProcessError
from celery_graceful.processes import process_output, registry
from celery_graceful.processes.current_task import app_now, task_now
from celery_graceful.processes.guardian.escalation import COMMAND_MOMENT, KILL_PATIENCE
from celery_graceful.processes.guardian_link import GuardianLink, Report, start_guardian
from celery_graceful.processes.start_options import TAG, Search, StartOptions
from celery_graceful.stop import time_to_end
from celery_graceful.text.counting import pids

#: Seconds a guardian has to start, and to answer.
_START, _ANSWER = 30.0, 5.0
#: Seconds after the grace until a guardian counts as stuck: it should have ended a second before.
_STUCK = COMMAND_MOMENT + KILL_PATIENCE + 1.0
#: Seconds between two checks of how much time the worker has left.
_LOOK_EVERY = 0.2
#: Seconds of grace that are always given, and that are kept for the task's own end after it.
_LEAST, _RESERVE = 0.5, 0.4


def granted(grace: float, left: float | None) -> float:
    """The grace that can be given when the task itself must have ended in ``left`` seconds."""
    return grace if left is None else min(grace, max(_LEAST, left - _RESERVE))


class Handle:
    """One guardian, from its start to its end.

    Args:
        options: what is started, and how.
        check: whether it is ready; ``None``: as soon as it runs.
    """

    def __init__(self, options: StartOptions, check: Callable[[], object] | None) -> None:
        self.options = options
        self.tag = uuid.uuid4().hex
        where = options.output
        self.check = check
        self.search = check if isinstance(check, Search) else None
        if isinstance(where, Path):
            self.sink = process_output.Sink(None, None)
        else:
            lines = None if where is None else process_output.logged(where, self.program)
            self.sink = process_output.Sink(lines, self.search)
        self.report = Report(options.name, self._on_output)
        self.began = time.monotonic()
        self.file: process_output.FileOutput | None = None
        self._task, self._app = task_now(), app_now()
        self._owner = os.getpid()
        self._running = False
        self._error: BaseException | None = None
        self._link: GuardianLink | None = None
        self._entry: Path | None = None

    @property
    def program(self) -> str:
        """Its name, for log lines."""
        return os.path.basename(os.fsdecode(self.options.argv[0]))

    @property
    def pid(self) -> int:
        """The command's pid; there is one once it has started."""
        assert self.report.pid is not None
        return self.report.pid

    def start(self) -> None:
        """Start guardian and command.

        Raises:
            OSError: the command cannot be run, or its output not be written.
            ProcessError: the guardian cannot.
        """
        report = self.report
        # A thread of its own: no exception of a signal handler comes in between, so that whatever
        # was begun is finished, or undone.
        _thread.start_new_thread(self._run, ())
        report.wait(lambda: bool(report.pid or report.failure or report.over), _START)
        if self._error is not None:
            raise self._error
        if report.failure is not None:
            number, what = report.failure
            raise OSError(number, os.strerror(number), os.fsdecode(what))
        if report.pid is None:
            raise ProcessError(
                f"{self.options.name} was not started, its guardian "
                f"({' '.join(report.troubles) or 'no report of it'}) does not run"
            )
        if self._entry is not None:
            registry.note_pid(self._entry, report.pid)

    def _run(self) -> None:
        """From the guardian's start to its end."""
        self._running = True
        try:
            link = self._link = self._spawn()
            if self.report.asked:
                link.let_go()  # before it has begun
            else:
                link.send("start", self._orders())
            link.listen(self.report.add)
            self._use_output(self.sink.close)
            if not self.report.in_order:
                self._do_without_guardian()
        except BaseException as error:
            self._error = error
            self.report.failed = True
            self.let_go()
        finally:
            self.report.close()

    def _on_output(self, data: bytes) -> None:
        self._use_output(lambda: self.sink.feed(data))

    def _use_output(self, use: Callable[[], None]) -> None:
        """Search or log output; a logger or a search that fails does not end the listening."""
        try:
            use()
        except Exception as error:
            self.sink.lines = self.sink.search = None
            self.report.trouble(f"its output is no longer searched or logged: {error!r}")

    def _spawn(self) -> GuardianLink:
        known = self.options
        if isinstance(known.output, Path):
            self.file = process_output.FileOutput(known.output)
        registered = registry.register(
            self.tag, known.name, self._task, known.stop_signal, known.grace, self._app
        )
        self._entry, lock = registered or (None, None)
        try:
            return start_guardian(f"for {self.program}", self.file.fd if self.file else None, lock)
        except BaseException:
            if self._entry is not None:
                self._entry.unlink()
            raise
        finally:
            if self.file is not None:
                self.file.close()
            if lock is not None:
                os.close(lock)

    def _orders(self) -> dict[str, Any]:
        known = self.options
        return {
            "argv": list(known.argv),
            "env": {**known.env, TAG.encode(): self.tag.encode()},
            "cwd": known.cwd,
            "owner": os.getpid(),
            "grace": known.grace,
            "stop_signal": known.stop_signal,
            "stop_command": known.stop_command and list(known.stop_command),
            "file": self.file is not None,
            "stream": self.sink.wanted,
            "entry": self._entry and os.fsencode(self._entry),
        }

    def now_ready(self) -> None:
        """Output is no longer searched."""
        self.sink.search = None
        if self._link is not None and not self.sink.wanted:
            self._link.send("quiet")

    def output_tail(self) -> str:
        """The last part of the output, as it is now."""
        if self.file is not None:
            return process_output.text_of(self.file.tail())
        report, before = self.report, self.report.tails
        if not report.over and self._link is not None and self._link.send("tail"):
            report.wait(lambda: report.tails > before or report.over, _ANSWER)
        return process_output.text_of(report.tail)

    def stop(self) -> None:
        """End all; an exception meanwhile means SIGKILL at once, and is raised."""
        report = self.report
        if report.over or os.getpid() != self._owner:
            return
        report.asked = True
        if not report.wait(lambda: self._running, _ANSWER):
            return  # its thread was not started
        try:
            self._ask()
        except BaseException:
            self._send_stop(0.0)
            self._wait_over(_STUCK)
            raise

    def _ask(self) -> None:
        """Ask for the end, and wait for it; faster, once the task has less time left."""
        if self.report.pid is None:
            self.let_go()  # the start was cut short, perhaps in the middle of a frame
        grace = granted(self.options.grace, time_to_end())
        self._send_stop(grace)
        until = time.monotonic() + grace
        while not self.report.wait(lambda: self.report.over, _LOOK_EVERY):
            now = time.monotonic()
            left = granted(until - now, time_to_end())
            if left < until - now - _LOOK_EVERY:
                self._send_stop(max(0.0, left))
                until = now + left
            if left <= 0:
                return self._wait_over(_STUCK)

    def _wait_over(self, seconds: float) -> None:
        report = self.report
        if not report.wait(lambda: report.over, seconds):
            report.trouble("its guardian does not come to an end: it is killed")
            self.let_go()
            if self._link is not None:
                self._link.kill()
            report.wait(lambda: report.over, _STUCK)

    def _send_stop(self, grace: float) -> None:
        if self._link is not None:
            self._link.send("stop", grace)

    def let_go(self) -> None:
        """Let the guardian see no owner any more; it does its work alone."""
        self.report.asked = True
        if self._link is not None:
            self._link.let_go()

    def _do_without_guardian(self) -> None:
        """Find and kill what it would have ended; without psutil, the group has to do."""
        entry = self._entry
        if entry is not None and self.report.pid is None:
            entry.unlink(missing_ok=True)  # nothing was started
        try:
            from celery_graceful.processes import ending
        except ImportError:
            return
        left = ending.end_tagged(self.tag, signal.SIGKILL, 0.0)[1]
        if left:
            self.report.trouble(f"still there after SIGKILL: {pids(left)}")
        elif entry is not None:
            entry.unlink(missing_ok=True)

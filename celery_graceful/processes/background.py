"""`background_process()`: a process that never outlives the block that needs it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import weakref
from collections.abc import Mapping
from types import TracebackType

from celery_graceful._celery.threads.interruption import Edge
from celery_graceful.durations import parse
from celery_graceful.errors import ProcessEnded
from celery_graceful.processes import start_options, wait_ready
from celery_graceful.processes.block_interruption import MainThreadBlock, interruptible_block
from celery_graceful.processes.handle import Handle
from celery_graceful.processes.start_options import Command, Output, Ready, StartOptions, StrPath

log = logging.getLogger("celery_graceful.processes")


def background_process(
    argv: Command | str,
    *,
    ready: Ready | None = None,
    ready_timeout: object = 30.0,
    stop_signal: int = signal.SIGTERM,
    stop_command: Command | None = None,
    grace: object = 10.0,
    interrupt: bool = False,
    output: Output = None,
    env: Mapping[str, str] | None = None,
    cwd: StrPath | None = None,
    shell: bool = False,
) -> BackgroundProcess:
    """Start a process beside this code, and end it with this code, whatever ends that.

    Use it in ``with``, or call :meth:`BackgroundProcess.stop`. It returns once the process is
    ready. Times are seconds, or texts such as ``"30s"``.

    Args:
        argv: the program and its arguments; a text for ``/bin/sh`` with ``shell``.
        ready: when it is ready: one of ``celery_graceful.ready``, or a function that returns true;
            an ``OSError`` that it raises counts as *not yet*. Left out: as soon as it runs.
        ready_timeout: how long that may take; and how long to wait before the start while another
            process answers: one from before may still be ending.
        stop_signal: what asks it to end, sent to it and its process group.
        stop_command: a command that is run instead, for a process of another user, say.
        grace: how long it may take to end before SIGKILL; less when the worker has less left.
        interrupt: raise inside the block as soon as the process ends by itself; left out, that is
            raised by :meth:`BackgroundProcess.check` and at the end of the block.
        output: a file to append stdout and stderr to; ``"log"`` for the task's log, or a logger.
            Left out, the last 64 KiB are kept. They are in :attr:`BackgroundProcess.output_tail`.
        env: its whole environment; left out: this process's.
        cwd: its working directory; left out: this process's.
        shell: ``argv`` is a text for the shell.

    Raises:
        OSError: the program or the folder is not there, or may not be used, as from
            :class:`subprocess.Popen`.
        ProcessEnded: it ended before it was ready, with whatever exit code.
        ProcessNotReady: it was not ready in time.
        ProcessError: another process answers ``ready``, and goes on doing so; or it could not be
            started for a reason of this package's own.
    """
    options = StartOptions(
        argv=start_options.command(argv, shell=shell),
        env=start_options.environment(os.environ if env is None else env),
        cwd=start_options.encoded(os.path.abspath(cwd or os.curdir)),
        stop_signal=signal.Signals(stop_signal).value,
        stop_command=None if stop_command is None else start_options.command(stop_command),
        grace=parse(grace),
        ready=ready,
        ready_timeout=parse(ready_timeout),
        interrupt=interrupt,
        output=start_options.output_target(output),
    )
    return BackgroundProcess(options)


class BackgroundProcess:
    """A process that runs, as :func:`background_process` returns it."""

    def __init__(self, options: StartOptions) -> None:
        self._options = options
        self._block: MainThreadBlock | Edge | None = None
        self._handle = handle = Handle(options, wait_ready.wait_free(options))
        # Without a reference to this object, the process ends.
        self._forgotten = weakref.finalize(self, handle.let_go)
        try:
            handle.start()
            wait_ready.wait_ready(handle)
        except BaseException:
            handle.stop()
            raise

    @property
    def pid(self) -> int:
        """The process's id, that of its process group and session as well."""
        return self._handle.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, or the negative number of the signal that ended it; ``None``: it runs."""
        return self._handle.report.returncode

    @property
    def output_tail(self) -> str:
        """The last of what it and its children have written, at most 64 KiB."""
        return self._handle.output_tail()

    def check(self) -> None:
        """Continue only if it still runs.

        Raises:
            ProcessEnded: it has ended by itself, with whatever exit code.
        """
        if self._handle.report.early:
            raise _ended(self._handle)

    def stop(self) -> None:
        """End it and all that descends from it; returns when that is done.

        The stop signal or command, the grace, SIGKILL; at most ``grace`` and about two seconds. An
        exception that comes meanwhile, of a time limit for example, means SIGKILL at once, and is
        raised. Called again, or in a fork of the process that started it, this does nothing.
        """
        self._handle.stop()
        self._forgotten.detach()

    # -- the block ----------------------------------------------------------------------------

    def __enter__(self) -> BackgroundProcess:
        if self._options.interrupt:
            try:
                self._open_block()
            except BaseException as error:
                self.__exit__(type(error), error, error.__traceback__)
                raise
        return self

    def _open_block(self) -> None:
        handle = self._handle  # not this object, which could not be forgotten then

        class EndedNow(ProcessEnded):
            """Exceptions that are raised in another thread come without arguments."""

            def __init__(self) -> None:
                error = _ended(handle)
                super().__init__(*error.args)
                self.__dict__.update(error.__dict__)

        self._block = block = interruptible_block(EndedNow)
        block.open()
        handle.report.on_end = block.throw
        self.check()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._handle.report.on_end = None
            self._close_block()
        except BaseException as late:  # while the block ended, by a time limit perhaps
            self._close_block()
            if not isinstance(late, ProcessEnded):  # of that, what follows says the same
                raise
        finally:
            self.stop()
        report = self._handle.report
        if isinstance(error, ProcessEnded) and self._block is not None:
            self._raise_plain(error)
        elif error is None:
            self.check()
        else:
            if report.early:
                _add_note(error, str(_ended(self._handle)))
            for trouble in report.troubles:
                _add_note(error, f"{self._options.name} (pid {report.pid}): {trouble}")

    def _close_block(self) -> None:
        if self._block is not None:
            self._block.close()

    def _raise_plain(self, error: ProcessEnded) -> None:
        """As a ``ProcessEnded``: a class made for one block cannot be pickled."""
        if type(error) is not ProcessEnded and self._handle.report.early:
            plain = ProcessEnded(*error.args)
            plain.__dict__.update(error.__dict__)
            raise plain.with_traceback(error.__traceback__) from error.__cause__


def _ended(handle: Handle) -> ProcessEnded:
    return wait_ready.ended(handle, "while it was still needed")


def _add_note(error: BaseException, note: str) -> None:
    """Add to an error that is raised anyway; in the log where Python has no notes."""
    if sys.version_info >= (3, 11):
        error.add_note(note)
    else:
        log.warning("%s", note)

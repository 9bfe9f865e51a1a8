"""What a background process is started with, checked before anything is done."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from logging import Logger
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from celery_graceful.durations import parse

StrPath = str | os.PathLike[str]
Command = Sequence[StrPath | bytes]
#: Where output goes: a file, the task's log, a logger; ``None``: the last 64 KiB are kept.
Output = StrPath | Literal["log"] | Logger | None


@runtime_checkable
class Search(Protocol):
    """Looks at the output of one process; true once it has found what it looks for."""

    def __call__(self) -> object: ...

    def feed(self, data: bytes) -> None:
        """Take the next piece."""


@runtime_checkable
class Begins(Protocol):
    """A check that looks at what there is before the process is started."""

    def begin(self) -> Callable[[], object]:
        """The check of one process; a :class:`Search` is fed with what that writes.

        Raises:
            ProcessError: it is true already, by another process, and would say nothing.
        """


#: Asked again and again until it is true; an ``OSError`` counts as *not yet*.
Ready = Callable[[], object] | Begins


@dataclass(frozen=True, slots=True)
class Options:
    """All that is known before the start; times in seconds."""

    argv: tuple[bytes, ...]
    env: dict[bytes, bytes]
    cwd: bytes
    stop_signal: int
    stop_command: tuple[bytes, ...] | None
    grace: float
    ready: Ready | None
    ready_timeout: float
    interrupt: bool
    output: Path | Logger | Literal["log"] | None

    @property
    def name(self) -> str:
        """The command as people would type it."""
        return shown(self.argv)


def checked(
    argv: Command | str,
    *,
    shell: bool,
    env: Mapping[str, str] | None,
    cwd: StrPath | None,
    stop_signal: int,
    stop_command: Command | None,
    grace: object,
    ready: Ready | None,
    ready_timeout: object,
    interrupt: bool,
    output: Output,
) -> Options:
    """The arguments of ``background_process`` as options.

    Raises:
        TypeError: a command that is not a list, a check that cannot be called.
        ValueError: an empty command, a time that is none, what no program can be given.
    """
    if ready is not None and not callable(ready) and not isinstance(ready, Begins):
        raise TypeError(f"ready={ready!r} cannot be called: use ready.port(…) or a function")
    environment = os.environ if env is None else env
    return Options(
        argv=commanded(argv, shell=shell),
        env=_environment(environment),
        cwd=_encoded(os.path.abspath(cwd or os.curdir)),
        stop_signal=signal.Signals(stop_signal).value,
        stop_command=None if stop_command is None else commanded(stop_command, shell=False),
        grace=parse(grace),
        ready=ready,
        ready_timeout=parse(ready_timeout),
        interrupt=interrupt,
        output=_where(output),
    )


def commanded(argv: Command | str, *, shell: bool) -> tuple[bytes, ...]:
    """A command as the system takes it.

    Raises:
        TypeError: a text without ``shell``, or a list with it.
        ValueError: nothing to run.
    """
    if not argv or not argv[0]:
        raise ValueError(f"{argv!r} names no program")
    if isinstance(argv, (str, bytes)):
        if not shell:
            raise TypeError(f"{argv!r} is a text: give a list of arguments, or shell=True")
        return (b"/bin/sh", b"-c", _encoded(argv))
    if shell:
        raise TypeError(f"shell=True takes one text, not {argv!r}")
    return tuple(_encoded(part) for part in argv)


def _environment(given: Mapping[str, str]) -> dict[bytes, bytes]:
    found = {_encoded(name): _encoded(value) for name, value in given.items()}
    for name in found:
        if not name or b"=" in name:
            raise ValueError(f"env: {os.fsdecode(name)!r} cannot be the name of a variable")
    return found


def _encoded(text: StrPath | bytes) -> bytes:
    """As the system takes it, which stops at a null byte."""
    found = os.fsencode(text)
    if b"\0" in found:
        raise ValueError(f"{text!r} has a null byte, which no program can be given")
    return found


def shown(argv: Sequence[bytes]) -> str:
    """A command for people."""
    import shlex

    # What is not UTF-8 is shown by its codes: lone surrogates could not be logged or stored.
    return shlex.join(part.decode("utf-8", "backslashreplace") for part in argv)


def _where(output: Output) -> Path | Logger | Literal["log"] | None:
    if output is None or isinstance(output, Logger) or output == "log":
        return output if not isinstance(output, str) else "log"
    return Path(output).absolute()
